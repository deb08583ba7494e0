# usable
bindkey -N mine emacs
bindkey -A mine main
bindkey -r '\e['
