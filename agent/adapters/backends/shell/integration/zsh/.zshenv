# What the zsh behind a shell session reads first, since ZDOTDIR names this folder (docs/design/shell.md): it gives ZDOTDIR
# back, adds the marks and reads the user's own file. All others zsh then reads by itself.

if [[ -o interactive && -n ${LAN_AGENT_BOX-} ]]; then
    builtin emulate -R zsh -o no_xtrace -c 'builtin source -- ${${(%):-%x}:h}/marks.zsh'
fi
if [[ -n ${LAN_AGENT_ZDOTDIR+x} ]]; then ZDOTDIR=$LAN_AGENT_ZDOTDIR; else unset ZDOTDIR; fi
unset LAN_AGENT_ZDOTDIR
if [[ ${LAN_AGENT_RC-} == none ]]; then # they have ended the shell
    unset LAN_AGENT_RC
    setopt no_rcs
elif [[ -r ${ZDOTDIR:-$HOME}/.zshenv ]]; then . ${ZDOTDIR:-$HOME}/.zshenv; fi
