# usable
(sleep 1; echo late) &
disown
sleep 0.5
