# usable
stty -ixon -echoctl erase ^H
clear
tput smkx 2>/dev/null
