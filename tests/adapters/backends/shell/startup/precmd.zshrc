# usable
precmd() { print -P '%F{blue}%~%f' }
preexec() { print -rn -- $'\e]0;'$1$'\a' }
