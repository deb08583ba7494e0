# usable
IFS=:e3
