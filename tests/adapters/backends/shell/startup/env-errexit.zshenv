# usable until a command fails
setopt err_exit no_unset xtrace
