# asks Which project?: tea
read -r 'project?Which project? '
