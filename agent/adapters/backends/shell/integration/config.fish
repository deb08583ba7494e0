# What the fish behind a shell session sources after the user's own files (docs/design/shell.md): marks around prompt, command
# and output. fish 3.4 and later. Sourced in a fish that runs already, it does the same.
#
#   ESC ] 7717 ; NONCE ; KIND ; PID ; fields BEL
#   A STATUS, B  begin and end of the prompt
#   T NUMBER LENGTH  our line was taken, a half line put away        R NUMBER REASON  it was not (old, unfinished, what is wrong)
#   C SERIAL nNUMBER|tHEX  output begins (tHEX: a person typed it)   D SERIAL STATUS DIRECTORY  it ended
#
# Marks go to /dev/tty: the output of a prompt is captured. The user's functions may have any name, hence `builtin`.

if set -q LAN_AGENT_BOX; and not set -q __lan_agent_nonce
    set -g __lan_agent_box $LAN_AGENT_BOX
    builtin read -g __lan_agent_nonce <$LAN_AGENT_BOX/nonce
    set -g __lan_agent_serial 0
    set -g __lan_agent_number 0
    set -g __lan_agent_own 0
    set -g __lan_agent_runs 0
    set -g __lan_agent_text ''
    set -g __lan_agent_kept ''
    set -g __lan_agent_line ''
    set -g __lan_agent_pagers

    function __lan_agent_mark
        builtin printf '\e]7717;%s;%s;%s%s\a' $__lan_agent_nonce $argv[1] $fish_pid "$argv[2]" >/dev/tty
    end

    function __lan_agent_directory
        # The first slash is escaped, too: whoever reads it knows by the % how it is quoted.
        builtin string replace -r '^/' %2F -- (builtin string escape --style=url -- $PWD | builtin string collect)
    end

    function __lan_agent_start --on-event fish_preexec
        set -l turn n$__lan_agent_number
        set __lan_agent_serial (builtin math $__lan_agent_serial + 1)
        set __lan_agent_runs $__lan_agent_own
        set __lan_agent_own 0
        if builtin test $__lan_agent_runs = 0
            set turn t(builtin printf %s (builtin string sub -l 4096 -- "$argv[1]" | builtin string collect) \
                | command od -An -v -tx1 | builtin string replace -a ' ' '' | builtin string join '')
        end
        __lan_agent_mark C ";$__lan_agent_serial;$turn"
    end

    function __lan_agent_end --on-event fish_postexec
        set -l code $status
        if builtin test $__lan_agent_runs = 1
            builtin echo "n$__lan_agent_number $__lan_agent_serial $code" >$__lan_agent_box/done
        end
        __lan_agent_mark D ";$__lan_agent_serial;$code;"(__lan_agent_directory)
        __lan_agent_put_back
        set __lan_agent_runs 0
    end

    # What fish itself says of an error in the syntax, without the line and the place in it.
    function __lan_agent_error
        set -l fish (builtin status fish-path)
        set -l said (builtin printf '%s\n' $argv[1] | command $fish --no-config --no-execute 2>&1)
        set said (builtin string replace -r '^fish: ' '' -- "$said[1]" | builtin string replace -ra '[[:cntrl:]]' ' ')
        builtin test -n "$said"; and builtin echo "$said"; or builtin echo syntax
    end

    # The line editor of the builtin `read` draws the same parts of a prompt, and knows our key.
    function __lan_agent_reads
        builtin test (builtin status current-command) != fish
    end

    function __lan_agent_prompt --on-event fish_prompt
        __lan_agent_mark A ";$status"
        __lan_agent_mark B
    end

    # After a Ctrl-C fish may skip the event, and that of the end; a part of the prompt is always drawn. B may come twice.
    if builtin functions -q fish_mode_prompt
        builtin functions -c fish_mode_prompt __lan_agent_mode_prompt
    else
        function __lan_agent_mode_prompt
        end
    end
    function fish_mode_prompt
        __lan_agent_reads; or __lan_agent_prompt
        __lan_agent_mode_prompt
    end

    # What was set for one turn becomes again what it was, unless the turn changed it.
    function __lan_agent_put_back
        for each in $__lan_agent_pagers
            set -l name (builtin string split -m 1 = -- $each)
            if builtin test "$$name[1]" = cat
                set -eg $name[1]
                switch "$name[2]"
                    case 'x*'
                        set -gx $name[1] (builtin string sub -s 2 -- $name[2])
                    case '-*'
                        set -g $name[1] (builtin string sub -s 2 -- $name[2])
                end
            end
        end
        set __lan_agent_pagers
    end

    # The key: what is in the box becomes the line. A number that was taken before, here or in another shell, never runs again.
    function __lan_agent_take
        set -l asked
        set -l text
        begin
            builtin read asked
            builtin read -z text
        end <$__lan_agent_box/in
        set -l known 0
        if builtin test -r $__lan_agent_box/taken
            builtin read known <$__lan_agent_box/taken
        end
        builtin string match -qr '^\d+$' -- "$known"; or set known 0
        builtin string match -qr '^\d+$' -- "$asked"; or set asked 0
        if __lan_agent_reads
            __lan_agent_mark R ";$asked;more"
            return
        end
        if builtin test $asked -le $known; or builtin test $asked -le $__lan_agent_number
            __lan_agent_mark R ";$asked;old"
            return
        end
        set -l half (builtin commandline -b | builtin string collect)
        builtin test "$half" = "$__lan_agent_line"; and set half '' # ours, of a turn that was interrupted before it ran
        builtin commandline -r -- "$text"
        builtin commandline --is-valid
        set -l wrong $status
        if builtin test $wrong != 0
            builtin commandline -r -- "$half"
            set -l reason unfinished
            builtin test $wrong = 2; or set reason (__lan_agent_error "$text")
            __lan_agent_mark R ";$asked;$reason"
            return
        end
        __lan_agent_put_back # of a turn whose end was not told
        set __lan_agent_number $asked
        set __lan_agent_own 1
        set __lan_agent_kept "$__lan_agent_kept$half"
        builtin echo $asked >$__lan_agent_box/taken
        __lan_agent_mark T ";$asked;"(builtin string length -- "$__lan_agent_kept" | builtin string join '')
        for name in PAGER GIT_PAGER GH_PAGER MANPAGER SYSTEMD_PAGER AWS_PAGER # nobody is there to page for a prompt
            if not set -qg $name
                set -a __lan_agent_pagers $name
            else if set -qgx $name
                set -a __lan_agent_pagers "$name=x$$name"
            else
                set -a __lan_agent_pagers "$name=-$$name"
            end
            set -gx $name cat
        end
        if builtin test (builtin string length -- "$text" | builtin string join '') -gt 2000 # its editor is slow with long ones
            set __lan_agent_text $text
            builtin commandline -r -- ' builtin eval $__lan_agent_text' # the blank keeps it out of the history
        end
        set __lan_agent_line (builtin commandline -b | builtin string collect)
        builtin commandline -f execute
    end

    # A half line that was put away comes back; what was typed since stands behind it.
    function __lan_agent_give
        builtin commandline -r -- "$__lan_agent_kept"(builtin commandline -b | builtin string collect)
        builtin commandline -f end-of-buffer
        set __lan_agent_kept ''
    end

    # As fish reads them from version 4 on, and as they come: CSI u keys of private characters.
    for map in default insert visual replace replace_one
        for key in \e\[983041u \U000f0001
            builtin bind -M $map $key __lan_agent_take 2>/dev/null
        end
        for key in \e\[983042u \U000f0002
            builtin bind -M $map $key __lan_agent_give 2>/dev/null
        end
    end
    __lan_agent_mark D ";0;0;"(__lan_agent_directory)
end
