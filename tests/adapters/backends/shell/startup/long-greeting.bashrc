# usable
seq 20000
printf 'no newline at the end'
