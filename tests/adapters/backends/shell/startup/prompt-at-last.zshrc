# usable
# a theme that is always last to set the prompt
theme() { PROMPT=$'%F{green}%~\n%f$ ' }
stay_last() {
    precmd_functions=(${precmd_functions:#theme} theme)
}
autoload -Uz add-zsh-hook
add-zsh-hook precmd stay_last
add-zsh-hook precmd theme
