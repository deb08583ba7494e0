# usable
PS0='\e]0;running\a$(date +%s >/dev/null)'
PS4='$(echo +) '
