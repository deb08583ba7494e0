# usable
setopt transient_rprompt prompt_subst
RPROMPT='%F{240}%D{%H:%M}%f'
PROMPT='%(?..%F{red}%? )%f%1~ %# '
