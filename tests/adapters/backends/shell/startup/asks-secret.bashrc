# asks Passphrase:: tea
read -r -s -p 'Passphrase: ' secret
echo
