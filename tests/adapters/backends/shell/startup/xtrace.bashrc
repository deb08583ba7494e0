# usable
PS4='+ '
set -x
