# usable
unsetopt prompt_sp prompt_cr
PROMPT_EOL_MARK=''
