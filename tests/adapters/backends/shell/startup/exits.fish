# usable
# fish only stops reading it
exit 3
