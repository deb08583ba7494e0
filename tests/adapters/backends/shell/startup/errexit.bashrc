# usable until a command fails
set -e
