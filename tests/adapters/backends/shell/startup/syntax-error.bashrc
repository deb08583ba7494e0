# usable
echo before
if true; then
