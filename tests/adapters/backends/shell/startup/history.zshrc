# usable
HISTFILE=~/.zhistory HISTSIZE=100 SAVEHIST=100
setopt share_history hist_ignore_space hist_ignore_all_dups hist_verify extended_history
histchars='@^#'
