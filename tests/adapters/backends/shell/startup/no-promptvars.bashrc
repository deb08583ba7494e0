# usable
# so that names of folders in a prompt are not expanded
shopt -u promptvars
