# usable
set -o vi
bind 'set show-mode-in-prompt on'
