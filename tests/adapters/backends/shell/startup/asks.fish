# asks Which project?: tea\n
if status is-interactive
    read -P 'Which project? ' project
end
