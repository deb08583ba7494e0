"""The kinds of session that this package makes: a server that the settings name, or one found on this machine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence

from agent.adapters.backends.openai.address import ServerAddress, server_address
from agent.adapters.backends.openai.servers import SeenServer, ServerSpot, name_of, spots
from agent.errors import BackendFailed
from agent.ports import Backend, BackendConfig, BackendType, Emit, Inspection, Start

PROBE_EVERY = 60.0
"""Seconds for which what was found at a port counts, in lists."""
PROBE_SECONDS = 0.3
"""For all that is asked of one port."""
LIST_SECONDS = 10.0
"""For the list of models when a session is started."""
INSPECT_SECONDS = 0.8
"""The same for `agent backends`, which waits a second in all."""
SHOWN = 5
"""Models that are named in a list."""


class OpenAIFamily:
    """The servers of models that are configured or may be here, as kinds of session (`ports.BackendFamily`)."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ

    def members(self, configured: Mapping[str, BackendConfig]) -> Sequence[BackendType]:
        """One kind for each server that the settings name, and each that is known; nothing is asked here."""
        named = [ConfiguredChat(name, config, self._environ) for name, config in configured.items()]
        found = [FoundChat(spot) for spot in spots(self._environ) if spot.known.name not in configured]
        return [*named, *found]


class ConfiguredChat:
    """A server that the settings name (`[backends.NAME]` with `kind = "openai"`; `ports.BackendType`)."""

    takes_command = False
    kind = "openai"

    def __init__(
        self, name: str, config: BackendConfig, environ: Mapping[str, str], *, seconds: float = INSPECT_SECONDS
    ) -> None:
        """`environ` is where the key may be. `seconds`: for asking the server."""
        self.name = name
        self._config = config
        self._environ = environ
        self._seconds = seconds
        self.description = config.description or f"chat with {name_of(config.model) or 'a model'}"

    def missing(self) -> str:
        """What is wrong with the server's table or its key; nobody is asked."""
        try:
            self._address().key(self._environ)
        except BackendFailed as exc:
            return str(exc)
        return ""

    async def inspect(self) -> Inspection:
        """Tell whether the server answers, and with which models (`ports.Inspects`)."""
        from agent.adapters.backends.openai.client import ServerClient  # noqa: PLC0415 - aiohttp only when a server is asked

        try:
            address = self._address()
            seen = await ServerClient(address, self._environ).models(self._seconds)
        except TimeoutError:
            return Inspection(detail=f"{self._config.url}, slow to answer")
        except BackendFailed as exc:
            return Inspection(missing=str(exc), hint=exc.hint)
        return Inspection(detail=f"{address.url}{_shown(seen)}")

    async def start(self, start: Start, emit: Emit) -> Backend:
        """Ask for the models, and begin a conversation. Raises: BackendFailed."""
        from agent.adapters.backends.openai.client import ServerClient  # noqa: PLC0415 - as above

        address = self._address()
        try:
            seen = await ServerClient(address, self._environ).models(LIST_SECONDS)
        except TimeoutError:
            seen = None  # it may talk all the same
        if not self._config.model and (seen is None or not seen.models):
            hint = "set model in its table in config.toml, or correct its url"
            raise BackendFailed(f"{self.name} {'has no model' if seen else 'does not list its models'}", hint=hint)
        return await _begun(
            address, seen or SeenServer(()), start, emit, model=self._config.model, environ=self._environ
        )

    def _address(self) -> ServerAddress:
        return server_address(self.name, self._config)


class FoundChat:
    """A server that may be on this machine, looked for when somebody wants it (`ports.BackendType`)."""

    takes_command = False
    kind = "openai"

    def __init__(
        self, spot: ServerSpot, now: Callable[[], float] | None = None, *, seconds: float = PROBE_SECONDS
    ) -> None:
        """`now` gives monotonic seconds; None: the loop's. `seconds`: for asking the server."""
        self.name = spot.known.name
        self._spot = spot
        self._now = now
        self.description = f"chat with a model on this machine, by {spot.known.title}"
        self._seconds = seconds
        self._seen: SeenServer | None = None
        self._probed_at: float | None = None
        self._probing = asyncio.Lock()

    def missing(self) -> str:
        """Nothing; whether a server is there is not known without asking."""
        return ""

    async def inspect(self) -> Inspection:
        """Tell what was found there, a minute ago at most (`ports.Inspects`)."""
        seen = await self._found(anew=False)
        if seen is not None and seen.models:
            version = f"{seen.version} " if seen.version else ""
            return Inspection(detail=f"{version}at {self._spot.root}{_shown(seen)}")
        known = self._spot.known
        if seen is not None:
            return Inspection(missing=f"{known.title} is at {self._spot.root} and has no model", hint=known.hint)
        return Inspection(missing=f"no {known.title} at {self._spot.root}", hint=known.hint)

    async def start(self, start: Start, emit: Emit) -> Backend:
        """Look again if the server was not there: somebody asks for it by name. Raises: BackendFailed."""
        seen = await self._found(anew=True)
        if seen is None or not seen.models:
            wrong = "has no model" if seen else "does not answer on this device"
            raise BackendFailed(f"{self._spot.known.title} {wrong}", hint=self._spot.known.hint)
        address = ServerAddress(name=self.name, url=self._spot.base)
        return await _begun(address, seen, start, emit)

    async def _found(self, *, anew: bool) -> SeenServer | None:
        from agent.adapters.backends.openai.client import probe  # noqa: PLC0415 - as above

        async with self._probing:
            now = (self._now or asyncio.get_running_loop().time)()
            old = self._probed_at is None or now - self._probed_at >= PROBE_EVERY
            if old or (anew and (self._seen is None or not self._seen.models)):
                self._probed_at = now
                self._seen = await probe(self._spot, self._seconds)
            return self._seen


async def _begun(
    address: ServerAddress,
    seen: SeenServer,
    start: Start,
    emit: Emit,
    *,
    model: str = "",
    environ: Mapping[str, str] | None = None,
) -> Backend:
    from agent.adapters.backends.openai.client import ServerClient  # noqa: PLC0415 - as above
    from agent.adapters.backends.openai.conversation import Conversation, budget_of  # noqa: PLC0415 - as above
    from agent.adapters.backends.openai.session import ChatSession  # noqa: PLC0415 - as above

    server = ServerClient(address, environ or {})
    server.address.key(environ or {})  # a key that cannot be had is told now
    characters = budget_of(seen.context)
    past = await start.history(characters) if start.restored else []
    models = {name_of(each): each for each in (model, *seen.models) if each}
    # What was chosen before, if it is still there; else what the settings say; else the server's first.
    chosen = start.model if start.model in models else next(iter(models))
    talk = Conversation(characters, past)
    about = {name_of(each): told for each, told in seen.about.items()}
    session = ChatSession(server, emit, talk, model=chosen, models=models, context=seen.context, about=about)
    await session.begin()
    return session


def _shown(seen: SeenServer | None) -> str:
    if seen is None:
        return ", which lists no models"
    more = f" and {len(seen.models) - SHOWN} more" if len(seen.models) > SHOWN else ""
    return f": {', '.join(seen.models[:SHOWN]) or 'no models'}{more}"
