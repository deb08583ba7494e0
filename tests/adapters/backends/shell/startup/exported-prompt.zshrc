# usable
export PS1='%# ' PS2='> ' PAGER=less HISTFILE=~/.history HISTSIZE=10 SAVEHIST=10
