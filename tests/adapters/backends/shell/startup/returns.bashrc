# usable
return 1
