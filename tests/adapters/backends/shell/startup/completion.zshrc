# usable
autoload -Uz compinit promptinit vcs_info
compinit -D -u
promptinit
prompt adam1
precmd() { vcs_info }
