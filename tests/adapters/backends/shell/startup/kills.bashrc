# ends -9
kill -KILL $$
