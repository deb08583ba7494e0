"""The kinds of session that this package makes: a server that the settings name, or one found on this machine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence

from agent.adapters.backends.openai.address import Place, place_of
from agent.adapters.backends.openai.servers import Seen, Spot, name_of, spots
from agent.errors import BackendFailed
from agent.ports import Backend, BackendConfig, BackendType, Emit, Inspection, Start

LOOK_EVERY = 60.0
"""Seconds for which what was found at a port counts, in lists."""
LOOK_SECONDS = 0.3
"""For all that is asked of one port."""
LIST_SECONDS = 10.0
"""For the list of models when a session is started."""
INSPECT_SECONDS = 0.8
"""The same for `agent backends`, which waits a second in all."""
SHOWN = 5
"""Models that are named in a list."""


class OpenAIFamily:
    """`ports.BackendFamily`."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ

    def members(self, configured: Mapping[str, BackendConfig]) -> Sequence[BackendType]:
        """Each server that the settings name, and each that is known; nothing is asked here."""
        named = [ConfiguredChat(name, config, self._environ) for name, config in configured.items()]
        found = [FoundChat(spot) for spot in spots(self._environ) if spot.known.name not in configured]
        return [*named, *found]


class ConfiguredChat:
    """`ports.BackendType`: `[backends.NAME]` with `kind = "openai"`."""

    takes_command = False
    kind = "openai"

    def __init__(
        self, name: str, config: BackendConfig, environ: Mapping[str, str], *, seconds: float = INSPECT_SECONDS
    ) -> None:
        """`environ`: where its key may be. `seconds`: for a look."""
        self.name, self._config, self._environ, self._seconds = name, config, environ, seconds
        self.description = config.description or f"chat with {name_of(config.model) or 'a model'}"

    def missing(self) -> str:
        """What is wrong with its table or its key; nobody is asked."""
        try:
            self._place().key(self._environ)
        except BackendFailed as exc:
            return str(exc)
        return ""

    async def inspect(self) -> Inspection:
        """Whether the server answers, and with which models."""
        from agent.adapters.backends.openai.client import Server  # noqa: PLC0415 - aiohttp only when a server is asked

        try:
            place = self._place()
            seen = await Server(place, self._environ).models(self._seconds)
        except TimeoutError:
            return Inspection(detail=f"{self._config.url}, slow to answer")
        except BackendFailed as exc:
            return Inspection(missing=str(exc), hint=exc.hint)
        return Inspection(detail=f"{place.url}{_shown(seen)}")

    async def start(self, start: Start, emit: Emit) -> Backend:
        """Ask for the models. Raises: BackendFailed."""
        from agent.adapters.backends.openai.client import Server  # noqa: PLC0415 - as above

        place = self._place()
        try:
            seen = await Server(place, self._environ).models(LIST_SECONDS)
        except TimeoutError:
            seen = None  # it may talk all the same
        if not self._config.model and (seen is None or not seen.models):
            hint = "set model in its table in config.toml, or correct its url"
            raise BackendFailed(f"{self.name} {'has no model' if seen else 'does not list its models'}", hint=hint)
        return await _begun(place, seen or Seen(()), start, emit, model=self._config.model, environ=self._environ)

    def _place(self) -> Place:
        return place_of(self.name, self._config)


class FoundChat:
    """`ports.BackendType`: a server that may be on this machine; looked for when wanted."""

    takes_command = False
    kind = "openai"

    def __init__(self, spot: Spot, now: Callable[[], float] | None = None, *, seconds: float = LOOK_SECONDS) -> None:
        """`now`: monotonic seconds; None: the loop's. `seconds`: for a look."""
        self.name, self._spot, self._now = spot.known.name, spot, now
        self.description = f"chat with a model on this machine, by {spot.known.title}"
        self._seconds = seconds
        self._seen: Seen | None = None
        self._looked_at: float | None = None
        self._looking = asyncio.Lock()

    def missing(self) -> str:
        """Nothing that is known without looking."""
        return ""

    async def inspect(self) -> Inspection:
        """What was found there, a minute ago at most."""
        seen = await self._found(anew=False)
        if seen is not None and seen.models:
            version = f"{seen.version} " if seen.version else ""
            return Inspection(detail=f"{version}at {self._spot.root}{_shown(seen)}")
        known = self._spot.known
        if seen is not None:
            return Inspection(missing=f"{known.title} is at {self._spot.root} and has no model", hint=known.hint)
        return Inspection(missing=f"no {known.title} at {self._spot.root}", hint=known.hint)

    async def start(self, start: Start, emit: Emit) -> Backend:
        """Look again if it was not there: somebody asks for it by name. Raises: BackendFailed."""
        seen = await self._found(anew=True)
        if seen is None or not seen.models:
            wrong = "has no model" if seen else "does not answer on this device"
            raise BackendFailed(f"{self._spot.known.title} {wrong}", hint=self._spot.known.hint)
        place = Place(name=self.name, url=self._spot.base)
        return await _begun(place, seen, start, emit)

    async def _found(self, *, anew: bool) -> Seen | None:
        from agent.adapters.backends.openai.probe import look  # noqa: PLC0415 - as above

        async with self._looking:
            now = (self._now or asyncio.get_running_loop().time)()
            old = self._looked_at is None or now - self._looked_at >= LOOK_EVERY
            if old or (anew and (self._seen is None or not self._seen.models)):
                self._looked_at = now
                self._seen = await look(self._spot, self._seconds)
            return self._seen


async def _begun(
    place: Place, seen: Seen, start: Start, emit: Emit, *, model: str = "", environ: Mapping[str, str] | None = None
) -> Backend:
    from agent.adapters.backends.openai.client import Server  # noqa: PLC0415 - as above
    from agent.adapters.backends.openai.conversation import Conversation, budget_of  # noqa: PLC0415 - as above
    from agent.adapters.backends.openai.session import ChatSession  # noqa: PLC0415 - as above

    server = Server(place, environ or {})
    server.place.key(environ or {})  # a key that cannot be had is told now
    characters = budget_of(seen.context)
    past = await start.history(characters) if start.restored else []
    models = {name_of(each): each for each in (model, *seen.models) if each}
    # What was chosen before, if it is still there; else what the settings say; else the server's first.
    chosen = start.model if start.model in models else next(iter(models))
    talk = Conversation(characters, past)
    session = ChatSession(server, emit, talk, model=chosen, models=models, context=seen.context)
    await session.begin()
    return session


def _shown(seen: Seen | None) -> str:
    if seen is None:
        return ", which lists no models"
    more = f" and {len(seen.models) - SHOWN} more" if len(seen.models) > SHOWN else ""
    return f": {', '.join(seen.models[:SHOWN]) or 'no models'}{more}"
