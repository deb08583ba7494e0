# usable
set -g fish_key_bindings fish_vi_key_bindings
function fish_mode_prompt
end
