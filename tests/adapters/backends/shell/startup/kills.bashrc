# left out
kill -KILL $$
