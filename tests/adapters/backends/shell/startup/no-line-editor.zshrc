# typed
unsetopt zle
