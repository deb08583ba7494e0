# usable with our lines
set -v
