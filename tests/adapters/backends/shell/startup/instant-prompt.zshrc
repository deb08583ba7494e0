# usable
# output is put away until the first prompt, which is drawn at once
exec {out}>&1 {err}>&2 >/dev/null 2>&1
print -Pn -- '%F{blue}instant%f ' >&$out
restore() {
    exec 1>&$out 2>&$err {out}>&- {err}>&-
    precmd_functions=(${precmd_functions:#restore})
    PROMPT='%F{blue}real%f '
}
typeset -ga precmd_functions
precmd_functions+=(restore)
