# guessed
set +o emacs +o vi
