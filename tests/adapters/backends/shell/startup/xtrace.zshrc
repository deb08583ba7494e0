# usable
PS4='+%N:%i> '
setopt xtrace
