# usable
bindkey -v
KEYTIMEOUT=1
export EDITOR=vi
