# guessed
exec cat
