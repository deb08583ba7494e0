# usable
HISTCONTROL=ignoreboth:erasedups HISTIGNORE='ls:cd*:builtin *:echo*' HISTTIMEFORMAT='%F %T ' HISTSIZE=3
shopt -s histappend histverify histreedit cmdhist lithist
PROMPT_COMMAND='history -a; history -c; history -r'
