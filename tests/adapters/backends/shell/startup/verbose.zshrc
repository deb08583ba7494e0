# usable
setopt verbose
