# usable
export PS1='\n\[\e[1;34m\]┌──(\u㉿\h)-[\w]\[\e[0m\]\n\[\e[1;34m\]└─\[\e[0m\]\$ '
export PS2='… '
