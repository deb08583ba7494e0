# usable
trap 'echo "ERR $?"' ERR
trap 'echo bye' EXIT
