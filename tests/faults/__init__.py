"""A fault driver: three real services under load while machines, networks, clocks and disks fail around them.

    python -m tests.faults --minutes 30            a soak; prints its seed, and a table at the end
    python -m tests.faults --seed 7 --rounds 20    the same faults again
    python -m tests.faults --schedule "kill desk 1; mute laptop 9 + loss:20 pi 9"
    python -m tests.faults.frames --minutes 10     fuzzed frames from a paired guest

`schedule` says what fails when, `faults` makes it fail, `scene` has the machines, `clients` record what they are told,
`load` and `front_ends` give them something to be told, `model` knows what each must see (DESIGN §4), `drive` runs a
schedule, `shrink` looks for the shortest one that still fails.
"""
