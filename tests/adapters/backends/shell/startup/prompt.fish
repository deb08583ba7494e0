# usable
function fish_prompt
    set -l code $status
    printf '\n%s%s\n%s> ' (set_color blue) (prompt_pwd) (set_color normal)
    test $code -ne 0; and printf '[%s] ' $code
end
function fish_right_prompt
    date +%H:%M
end
function fish_title
    echo title
end
