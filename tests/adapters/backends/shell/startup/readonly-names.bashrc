# usable
readonly IFS=' ' text=1 number=2 status=3 line=4 name=5 value=6 HISTTIMEFORMAT='%F ' HISTCONTROL=ignorespace PAGER=less
