# asks #?: 2
select project in tea coffee; do break; done
