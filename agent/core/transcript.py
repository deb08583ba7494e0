"""The types of events under the name that docs/design/backends.md once gave; new backends import `agent.ports`."""

from agent.protocol.events import (
    Answer,
    Choice,
    Command,
    Diff,
    Field,
    Option,
    PlanEntry,
    RequestKind,
    TurnStatus,
    Usage,
)

__all__ = [
    "Answer",
    "Choice",
    "Command",
    "Diff",
    "Field",
    "Option",
    "PlanEntry",
    "RequestKind",
    "TurnStatus",
    "Usage",
]
