# usable
# functions with the names of builtins
printf() { builtin printf 'FUNCTION'; }
local() { return 1; }
read() { return 1; }
export() { return 1; }
unset() { return 1; }
mapfile() { return 1; }
bind() { return 1; }
history() { return 1; }
set() { builtin set "$@"; }
cd() { builtin cd "$@" && builtin echo "now in $PWD"; }
