# guessed
exec dash
