# usable
setopt no_unset ksh_arrays sh_word_split glob_subst no_clobber warn_create_global csh_junkie_loops rc_quotes auto_cd
