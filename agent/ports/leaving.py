"""What backends may offer beside: ways to stop that are not the end of a session, clearing up, being the same later."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from agent.protocol.model import SessionId


@runtime_checkable
class Rests(Protocol):
    """What a `Backend` may offer beside: to be closed while idle, and started again for the next prompt."""

    def may_rest(self) -> bool:
        """Whether nothing would be lost: no turn, and `BackendType.start` with its lineage brings it back."""


@runtime_checkable
class LetsGo(Protocol):
    """What a `Backend` may offer beside: to be let go of when this service stops, its program going on elsewhere."""

    async def let_go(self) -> None:
        """As `close`, but what others may still use goes on."""


@runtime_checkable
class ClearsUp(Protocol):
    """What a `BackendType` may offer beside: to end what a service that was killed has left running."""

    async def clear_up(self, session: SessionId) -> None:
        """End what still runs of that session; called once, before anything of it is started. Raises nothing."""


@runtime_checkable
class EndsWithService(Protocol):
    """What a `BackendType` may offer beside: programs that are not started again for a session that is restored."""

    ends_with_service: ClassVar[str]
    """Why such a session has ended, as a sentence."""


@runtime_checkable
class OfKind(Protocol):
    """What a `BackendType` may offer beside: what it is, whatever it is called. Its sessions go on with that only."""

    kind: ClassVar[str]
    """The name of its entry point."""


def kind_of(backend: object) -> str:
    """What a `BackendType` is; empty if it does not tell."""
    return backend.kind if isinstance(backend, OfKind) else ""
