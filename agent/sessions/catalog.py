"""The catalog of backends: what sessions can be made of on this device, as it stands now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from agent.errors import IN_THE_LOG
from agent.ports import Clock, Inspection, Inspects, Installed, RunsShell
from agent.protocol.backends import BackendRow
from agent.protocol.names import clean
from agent.tasks import child

log = logging.getLogger(__name__)

LOOK = 1.0
"""Seconds that an inspection of one backend may take."""
KEPT = 5.0
"""Seconds for which a result of inspecting all backends is reused."""
TEXT = 1000
"""Characters of each text in a row."""


class BackendCatalog:
    """Inspects all installed backends, at the same time, when their rows are asked for."""

    def __init__(self, installed: Sequence[Installed], *, default: str, clock: Clock, look: float = LOOK) -> None:
        """`default`: the name of the backend of a session that names none. `look`: seconds for each inspection."""
        self._installed = installed
        self._default = default
        self._clock = clock
        self._look = look
        self._rows: tuple[BackendRow, ...] = ()
        self._seen_at: float | None = None
        self._looking = asyncio.Lock()  # whoever asks meanwhile gets the same answer

    async def rows(self) -> tuple[BackendRow, ...]:
        """A row for each installed backend: ready ones first, then by name. At most `KEPT` seconds old."""
        async with self._looking:
            now = self._clock.monotonic()
            if self._seen_at is None or now - self._seen_at >= KEPT:
                found: list[BackendRow] = []

                async def look(one: Installed) -> None:
                    found.append(self._row(one, await self._seen(one)))

                async with asyncio.TaskGroup() as group:
                    for each in self._installed:
                        child(group, look(each), f"backends.look-{each.name}")
                self._rows = tuple(sorted(found, key=lambda row: (not row.ready, row.name)))
                self._seen_at = self._clock.monotonic()
            return self._rows

    async def _seen(self, one: Installed) -> Inspection:
        if one.type is None:
            return Inspection(missing=one.problem, hint=one.hint)
        try:
            if isinstance(one.type, Inspects):
                async with asyncio.timeout(self._look):
                    return await one.type.inspect()
            return Inspection(missing=one.type.missing())
        except TimeoutError:
            return Inspection(missing="it cannot be looked at: no answer in time", hint="try again in a moment")
        except Exception as exc:
            log.exception("a backend raised", extra={"backend": one.name})
            return Inspection(missing=f"it cannot be looked at: {exc!r}", hint=IN_THE_LOG)

    def _row(self, one: Installed, seen: Inspection) -> BackendRow:
        return BackendRow(
            name=clean(one.name, TEXT),
            kind=clean(one.entry, TEXT),
            description=clean(one.type.description, TEXT) if one.type else "",
            ready=not seen.missing,
            default=one.name == self._default,
            detail=clean(seen.detail, TEXT),
            missing=clean(seen.missing, TEXT),
            hint=clean(seen.hint, TEXT),
            shells=_shells(one.type) if not seen.missing else (),
        )


def _shells(backend: object) -> tuple[str, ...]:
    if not isinstance(backend, RunsShell):
        return ()
    try:
        return tuple(clean(name, TEXT) for name in backend.shells())
    except Exception:
        log.exception("a backend raised")
        return ()
