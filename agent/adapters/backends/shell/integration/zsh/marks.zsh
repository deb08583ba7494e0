# Marks around prompt, command and output of the zsh behind a shell session (docs/design/shell.md). .zshenv beside this file
# reads it; sourced in a zsh that runs already, it adds them there. zsh 5.8 and later.
#
#   ESC ] 7717 ; NONCE ; KIND ; PID ; fields BEL
#   A STATUS, B  begin and end of the prompt            K  it wants more lines
#   T NUMBER 0  our line was taken (zsh gives a half line back by itself)        R NUMBER REASON  it was not (old, more)
#   C SERIAL nNUMBER|tHEX  output begins (tHEX: a person typed it)
#   E  the shell ends a half line of output: what follows is its own             D SERIAL STATUS DIRECTORY  output ended
#
# Under `emulate -c` all of it keeps the options of zsh as it is made, whatever the user's are then: `set -x` does not trace it.
# Marks go to /dev/tty, so that it can be mute: the user's traps then say nothing about it.

__lan_agent_mark() {
    builtin print -rn -- $'\e]7717;'"$__lan_agent_nonce;$1;$$${2+;$2}"$'\a' >/dev/tty
}

# First of precmd_functions, before the user's can print. (A function precmd runs before it: after E.)
__lan_agent_first() {
    typeset -gi __lan_agent_status=$?
    if (( __lan_agent_own || __lan_agent_runs )); then
        builtin print -r -- "n$__lan_agent_number $__lan_agent_serial $__lan_agent_status" >|$__lan_agent_box/done
    fi
    __lan_agent_mark D "$__lan_agent_serial;$__lan_agent_status;${(qqqq)PWD}"
    __lan_agent_own=0 __lan_agent_runs=0
    __lan_agent_put_back
    if [[ $precmd_functions[-1] != __lan_agent_last ]]; then # somebody came behind it: once more when all have run
        __lan_agent_hook
        if builtin zmodload zsh/sched; then builtin sched +0 __lan_agent_last; fi
    fi
} >/dev/null 2>&1

# Last of precmd_functions: the user's may have set the prompt anew.
__lan_agent_last() {
    local open=$'%{\e]7717;'$__lan_agent_nonce close=$'\a%}'
    local a="$open;A;$$;%?$close" b="$open;B;$$$close" k="$open;K;$$$close"
    if [[ ${(t)PS2} != *readonly* ]]; then PS2=${PS2//$k/}$k; fi
    if [[ ${(t)PS1} == *readonly* ]]; then
        __lan_agent_mark A $__lan_agent_status
        __lan_agent_mark B
    else
        PS1=$a${${PS1//$a/}//$b/}$b
    fi
} >/dev/null 2>&1

# What was set for one turn becomes again what it was, unless the turn changed it.
__lan_agent_put_back() {
    local each name
    for each in $__lan_agent_pagers; do
        name=${each%%=*}
        if [[ ${(P)name-} == cat ]]; then
            builtin unset $name
            case $each in
                (*=x*) builtin typeset -gx "$name=${each#*=?}" ;;
                (*=-*) builtin typeset -g "$name=${each#*=?}" ;;
            esac
        fi
    done
    __lan_agent_pagers=()
    if [[ -n $__lan_agent_histchars && $histchars == $'\x01\x02'* ]]; then histchars=$__lan_agent_histchars; fi
    __lan_agent_histchars=
}

# Last of preexec_functions: output begins.
__lan_agent_start() {
    local open=$'%{\e]7717;'$__lan_agent_nonce close=$'\a%}' turn=n$__lan_agent_number
    if [[ ${PROMPT_EOL_MARK-} != *"$open;E;"* ]]; then __lan_agent_eol=${PROMPT_EOL_MARK-%B%S%#%s%b}; fi
    typeset -g PROMPT_EOL_MARK="$open;E;$$$close$__lan_agent_eol"
    if [[ ${(t)PS1} == *export* && ${(t)PS1} != *readonly* ]]; then PS1=${${PS1//"$open;A;$$;%?$close"/}//"$open;B;$$$close"/}; fi # not for shells within
    __lan_agent_serial+=1 __lan_agent_runs=$__lan_agent_own __lan_agent_own=0
    if (( ! __lan_agent_runs )); then
        setopt no_multibyte
        local byte text=${${1:-$3}[1,4096]}
        turn=t
        for byte in ${(s::)text}; do
            builtin printf -v byte %02x $(( #byte ))
            turn+=$byte
        done
    fi
    __lan_agent_mark C "$__lan_agent_serial;$turn"
} >/dev/null 2>&1

# A long text is kept in the history itself, not the line that evaluates it.
__lan_agent_history() {
    if [[ $1 != *'builtin eval "$__lan_agent_text"'* ]]; then return 0; fi
    if [[ $__lan_agent_text != [[:blank:]]* ]]; then builtin print -rs -- $__lan_agent_text; fi
    return 1
} 2>/dev/null

# The key: what is in the box becomes the line. A number that was taken before, here or in another shell, never runs again.
__lan_agent_take() {
    local asked text name
    local -i known=0
    text="$(<$__lan_agent_box/in)"
    asked=${text%%$'\n'*} text=${text#*$'\n'}
    if [[ -r $__lan_agent_box/taken ]]; then name="$(<$__lan_agent_box/taken)"; fi
    if [[ $name == <-> ]]; then known=$name; fi
    if [[ $asked != <-> ]]; then asked=0; fi
    __lan_agent_hook
    if [[ -n $PREBUFFER ]]; then
        __lan_agent_mark R "$asked;more"
        return
    elif (( asked <= known || asked <= __lan_agent_number )); then
        __lan_agent_mark R "$asked;old"
        return
    fi
    __lan_agent_put_back # of a turn whose command replaced the hooks
    __lan_agent_number=$asked __lan_agent_own=1 __lan_agent_text=$text
    builtin print -r -- $asked >|$__lan_agent_box/taken
    __lan_agent_mark T "$asked;0"
    for name in PAGER GIT_PAGER GH_PAGER MANPAGER SYSTEMD_PAGER AWS_PAGER; do # nobody is there to page for a prompt
        case ${(Pt)name} in
            ('') __lan_agent_pagers+=($name) ;;
            (*readonly*) continue ;;
            (*export*) __lan_agent_pagers+=($name=x${(P)name}) ;;
            (*) __lan_agent_pagers+=($name=-${(P)name}) ;;
        esac
        builtin typeset -gx $name=cat
    done
    if [[ -n $BUFFER ]]; then builtin zle .push-line; fi
    POSTDISPLAY=
    if (( $#text > 4000 )); then # the editor is slow with long ones
        BUFFER='builtin eval "$__lan_agent_text"'
    else
        BUFFER=$text
        if [[ $text == *'!'* ]]; then # an option would come too late for this line
            __lan_agent_histchars=$histchars
            histchars=$'\x01\x02#'
        fi
    fi
    CURSOR=$#BUFFER
    builtin zle .accept-line
} 2>/dev/null

# Hooks and key as they should be: at the first prompt, and at each key, in case a command replaced them.
__lan_agent_hook() {
    typeset -ga precmd_functions preexec_functions zshaddhistory_functions
    precmd_functions=(__lan_agent_first ${precmd_functions:#__lan_agent_*} __lan_agent_last)
    preexec_functions=(${preexec_functions:#__lan_agent_*} __lan_agent_start)
    zshaddhistory_functions=(__lan_agent_history ${zshaddhistory_functions:#__lan_agent_*})
}

__lan_agent_begin() {
    if (( $+__lan_agent_nonce )); then return; fi # it came the other way already
    typeset -g __lan_agent_box=$LAN_AGENT_BOX __lan_agent_nonce="$(<$LAN_AGENT_BOX/nonce)" __lan_agent_text= __lan_agent_eol=
    typeset -g __lan_agent_histchars=
    typeset -gi __lan_agent_serial=0 __lan_agent_number=0 __lan_agent_own=0 __lan_agent_runs=0
    typeset -ga __lan_agent_pagers
    __lan_agent_hook
    builtin zle -N __lan_agent_take
    local map
    for map in emacs viins vicmd main; do builtin bindkey -M $map '\e[983041u' __lan_agent_take; done
    __lan_agent_first
    __lan_agent_last
} >/dev/null 2>&1

# At the first prompt, after all of the user's files; by a second way if they set the hooks as if nobody else had any.
typeset -ga precmd_functions
precmd_functions+=(__lan_agent_begin)
if builtin zmodload zsh/sched 2>/dev/null; then builtin sched +0 __lan_agent_begin; fi
