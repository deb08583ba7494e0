# usable
# a prefix that is put before the prompt, by an export
export PS1="(base) $PS1"
_OLD_VIRTUAL_PS1=${PS1-}
PS1="(venv) ${PS1-}"
export PS1 _OLD_VIRTUAL_PS1
