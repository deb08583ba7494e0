# ends 3
exit 3
