# usable
alias -g print='X' builtin='X' local='X' if='X'
alias echo='echo'
alias -s txt=cat
