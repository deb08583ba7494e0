# usable
shopt -s extdebug
set -o functrace
set -o errtrace
