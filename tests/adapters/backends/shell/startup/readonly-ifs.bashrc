# usable
readonly IFS
