"""Pure rules: no await, socket, file, clock, random or logging; the time is an argument."""
