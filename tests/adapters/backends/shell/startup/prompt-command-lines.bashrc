# usable
PROMPT_COMMAND='
# a comment
true # another
if true; then
    PS1="[$?] "
fi'
export PROMPT_COMMAND
