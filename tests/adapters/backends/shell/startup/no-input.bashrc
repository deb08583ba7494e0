# ends 0
exec </dev/null
