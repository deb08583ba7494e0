# usable
# as sites do that log commands
readonly PROMPT_COMMAND='echo hi >/dev/null'
