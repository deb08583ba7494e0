# asks Update? [Y/n]: n
read -q 'REPLY?Update? [Y/n] '
print
