# usable
own() { : }
precmd_functions=(own)
preexec_functions=(own)
zshaddhistory_functions=()
