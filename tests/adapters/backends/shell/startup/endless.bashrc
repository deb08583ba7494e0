# late
# it waits for something that never comes, as for a network drive
exec {never}<> <(:)
while :; do read -r -t 1 -u "$never"; done
