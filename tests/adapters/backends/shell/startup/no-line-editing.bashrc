# typed
set +o emacs +o vi
