# usable
set -o noclobber
set -o allexport
set -o physical
