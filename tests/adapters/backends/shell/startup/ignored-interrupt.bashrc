# usable
trap '' INT TSTP
