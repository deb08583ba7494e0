# guessed
# a recorder of terminals, as tmux would be
if [ -z "$AGAIN" ]; then AGAIN=1 exec script -q /dev/null; fi
