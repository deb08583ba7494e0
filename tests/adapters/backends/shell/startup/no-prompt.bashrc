# usable
unset PROMPT_COMMAND
PS1= PS2=
