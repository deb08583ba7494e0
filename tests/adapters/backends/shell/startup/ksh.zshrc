# usable
emulate ksh
PS1='! $ '
