# usable
unsetopt rcs
