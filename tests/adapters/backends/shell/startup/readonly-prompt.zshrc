# usable
PS1='fixed> '
typeset -r PS1
export PS1
