# usable
trap 'echo "DEBUG $BASH_COMMAND"' DEBUG
