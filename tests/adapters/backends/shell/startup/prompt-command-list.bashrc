# usable
PROMPT_COMMAND=(':' 'printf "\033]0;%s\007" "${PWD/#$HOME/\~}"')
PROMPT_COMMAND+=('false')
