# usable
set -o posix
set -o noglob
