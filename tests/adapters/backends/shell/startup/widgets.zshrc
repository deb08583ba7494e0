# usable
# as plugins do: all widgets wrapped, hooks of the line editor, text behind the cursor
accept() { POSTDISPLAY=' suggestion'; zle .accept-line }
zle -N accept-line accept
line-init() { POSTDISPLAY=' suggestion'; region_highlight=('0 1 bold') }
line-finish() { POSTDISPLAY= }
zle -N zle-line-init line-init
zle -N zle-line-finish line-finish
zle-keymap-select() { zle reset-prompt }
zle -N zle-keymap-select
self() { zle .self-insert }
zle -N self-insert self
