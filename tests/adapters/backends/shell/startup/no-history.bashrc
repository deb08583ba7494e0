# usable
set +o history +o histexpand
unset HISTFILE
