# guessed
# its editor reads the answer: it looks like a prompt
if status is-interactive
    read -P 'Which project? ' project
end
