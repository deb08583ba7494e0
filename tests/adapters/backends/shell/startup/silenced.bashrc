# silent
exec >/dev/null 2>&1
