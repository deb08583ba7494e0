# usable
# aliases of whatever a file that is parsed later would use
alias echo='echo ALIAS' printf='printf ALIAS' local=false read=false builtin=false unset=false case=: if=:
alias rm='rm -i' cp='cp -i' sudo='sudo ' export=false bind=false PROMPT_COMMAND=x
unalias echo
