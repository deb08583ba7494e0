# usable
PS1='fixed> ' PS2='more> '
readonly PS1 PS2 PS0
