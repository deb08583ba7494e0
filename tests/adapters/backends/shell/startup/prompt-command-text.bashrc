# usable
PROMPT_COMMAND='history -a; history -n;'
