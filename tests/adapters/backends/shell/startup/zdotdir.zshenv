# usable
export ZDOTDIR=$HOME/elsewhere
skip_global_compinit=1
