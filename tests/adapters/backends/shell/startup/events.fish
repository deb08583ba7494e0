# usable
function before --on-event fish_preexec
    echo before >/dev/null
end
function after --on-event fish_postexec
    false
end
function moved --on-variable PWD
    ls >/dev/null
end
