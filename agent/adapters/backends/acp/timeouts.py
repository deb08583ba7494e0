"""How long an agent is waited for, and for what."""

from __future__ import annotations

from msgspec import Struct


class Timeouts(Struct, frozen=True, kw_only=True):
    """Seconds that an agent is waited for. Tests take shorter ones."""

    start: float = 60.0  # until `initialize` and `session/new` are answered: some start an interpreter and a database
    load: float = 60.0  # until `session/load` is
    quiet: float = 0.3  # without updates after that, so that no replay is left
    quiet_max: float = 5.0  # however much is replayed after the answer
    minute: float = 61.0  # for the clock to show another minute than when a session was opened
    gap: float = 0.05  # between answering what is asked and `session/cancel`: at least 0.02 (hermes)
    cancel: float = 10.0  # for a turn to end after `session/cancel`
    call: float = 30.0  # for any other answer
    eof: float = 1.0  # for an agent to end after its input has
    term: float = 2.0  # and after SIGTERM
    status: float = 1.0  # for an agent that has closed its output to end
    silence: float = 0.2  # for output that is still in the pipe when the agent has ended
