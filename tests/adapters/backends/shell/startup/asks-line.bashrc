# asks Which project?: tea
read -r -p 'Which project? ' project
