# usable
# at the first prompt it becomes something else
later() { PROMPT_COMMAND=':'; }
PROMPT_COMMAND=later
