# guessed
unsetopt zle
