# usable
set -u
unset PS1 PS2 PROMPT_COMMAND
PS1='$ '
