# usable
function fish_user_key_bindings
    bind --erase --all --preset
    fish_default_key_bindings
    bind \cg 'commandline -f repaint'
end
