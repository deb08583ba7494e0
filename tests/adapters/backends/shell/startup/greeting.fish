# usable
function fish_greeting
    seq 2000
end
set -g fish_prompt_pwd_dir_length 0
