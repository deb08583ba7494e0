# usable
function printf
    return 1
end
function string
    return 1
end
function cd
    builtin cd $argv; and echo now in $PWD
end
