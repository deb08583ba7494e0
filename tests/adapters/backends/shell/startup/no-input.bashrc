# ends
exec </dev/null
