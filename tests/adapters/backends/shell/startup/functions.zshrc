# usable
print() { return 1 }
zle() { return 1 }
printf() { return 1 }
typeset() { return 1 }
cd() { builtin cd "$@" && echo "now in $PWD" }
