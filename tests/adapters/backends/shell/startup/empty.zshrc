# usable
