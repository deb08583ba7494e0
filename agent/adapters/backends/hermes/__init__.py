"""Hermes: every live session of a gateway, through one connection that is held (docs/design/hermes.md).

`family` has the kinds of session, `config` their settings; `locate` finds a gateway, `process` is one of our own. The
`hub` holds the `connection`, whose frames `wire` reads. A `session` has a `follower`, its one task: with `attachment`
(whose events they are), `listing` and `inbox` (what comes), `turns`, `history`, `mapping`, `questions` and `redact`
(what is told of it) and `takeover` (from a window). `keepalive` holds what was taken while this service does not run.
"""

from __future__ import annotations

from agent.adapters.backends.hermes.family import HermesBackend, HermesFamily

__all__ = ["HermesBackend", "HermesFamily"]
