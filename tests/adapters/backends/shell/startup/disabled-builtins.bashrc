# usable
enable -n printf echo test
