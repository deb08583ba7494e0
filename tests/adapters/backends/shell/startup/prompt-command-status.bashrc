# usable
# a prompt that shows the status, made anew each time
prompt() {
    local status=$?
    PS1='\W'
    if [ "$status" -ne 0 ]; then PS1+=" \[\e[31m\]$status\[\e[0m\]"; fi
    PS1+=' \$ '
    return "$status"
}
PROMPT_COMMAND=prompt
