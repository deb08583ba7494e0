# usable
emulate sh
PS1='$ '
