# usable
# hooks by a DEBUG trap, as bash-preexec has them
preexec_functions=() precmd_functions=()
__interactive=
__in_prompt_command() {
    local commands IFS=$'\n;' each
    read -rd '' -a commands <<<"${PROMPT_COMMAND[*]:-}"
    for each in "${commands[@]}"; do
        each=${each#"${each%%[![:space:]]*}"}
        if [ "${each%"${each##*[![:space:]]}"}" = "$1" ]; then return 0; fi
    done
    return 1
}
__preexec() {
    if [ -n "${COMP_LINE:-}" ] || [ -z "$__interactive" ] || __in_prompt_command "$BASH_COMMAND"; then return; fi
    __interactive=
    local each
    for each in "${preexec_functions[@]}"; do "$each" "$BASH_COMMAND"; done
}
__precmd() {
    local each
    for each in "${precmd_functions[@]}"; do "$each"; done
}
__interactive_on() { __interactive=on; }
__install() {
    if [[ ${PROMPT_COMMAND[*]} == *__precmd* ]]; then return 1; fi
    PROMPT_COMMAND=$'__precmd\n'"${PROMPT_COMMAND//"$__install_string"/:}"
    PROMPT_COMMAND+=('__interactive_on')
    trap '__preexec "$_"' DEBUG
    __interactive=on
}
__install_string=$'trap - DEBUG\n__install'
PROMPT_COMMAND=${PROMPT_COMMAND:+$PROMPT_COMMAND$'\n'}$__install_string
started() { counted=$((counted + 1)); }
counted=0
preexec_functions+=(started)
