# guessed
# a recorder of terminals, as tmux would be
exec script -q /dev/null
