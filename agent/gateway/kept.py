"""Answers `page.keep`: pins, language, settings and drafts of pages, whose own storage ends with each start."""

from __future__ import annotations

from msgspec import UNSET, Raw

from agent.errors import BadParams, TooLarge
from agent.gateway.routes import Caller, Route, Routes
from agent.ports.page import ValueStore
from agent.protocol.methods import PAGE_KEEP
from agent.protocol.page import KEPT_MAX, Keep, Kept

NOTHING = Raw(b"\xc0")
"""Null, as MessagePack."""


class KeepHandlers:
    """Keeps small values by name. Of two pages that keep the same one, the later one is right."""

    def __init__(self, store: ValueStore) -> None:
        """Nothing is read before the first request."""
        self._store = store
        self._values: dict[str, Raw] | None = None

    def routes(self) -> Routes:
        """List the handler with its method."""
        return (Route(PAGE_KEEP, self.keep),)

    async def keep(self, request: Keep, caller: Caller) -> Kept:  # noqa: ARG002 - as every handler
        """Keep one value, or tell all of them. Raises: BadParams; TooLarge, and then nothing has changed."""
        if self._values is None:
            self._values = self._store.load()
        if request.value is UNSET and not request.name:
            return Kept(values=self._values)
        if request.value is UNSET or not request.name:
            raise BadParams("a value needs a name, and a name a value")
        values = {**self._values, request.name: Raw(bytes(request.value))}
        if request.value == NOTHING:
            del values[request.name]
        if sum(len(name.encode()) + len(value) for name, value in values.items()) > KEPT_MAX:
            raise TooLarge(f"pages keep {KEPT_MAX:,} bytes at most", hint="drop drafts that are not needed any more")
        if values != self._values:
            self._store.save(values)
        self._values = values
        return Kept()
