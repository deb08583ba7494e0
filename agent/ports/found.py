"""Conversations that run already, outside of this service: a backend may find them, and is asked to join them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct


class Offer(Struct, frozen=True, kw_only=True):
    """One conversation that runs now."""

    key: str  # durable, the backend's own: the session has it in its lineage (S11)
    title: str = ""
    cwd: str = ""


Offered = Callable[[Sequence[Offer]], Awaitable[None]]
"""Take all conversations that run now. New ones become sessions, found ones that are in it no more are closed."""


@runtime_checkable
class FindsSessions(Protocol):
    """What a `BackendType` may offer beside: sessions that nobody started from here."""

    async def watch(self, offered: Offered) -> None:
        """Tell what runs whenever that changes, until cancelled; nothing while the program is not reached.

        A session joins one by `BackendType.start` with its key in `Start.lineage` and `Start.found`. Raises nothing.
        """
