"""From a started agent to an open session: `initialize`, then `session/load`, `session/resume` or `session/new`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from agent import __version__
from agent.adapters.backends.acp.connection import AgentGone, Connection
from agent.adapters.backends.acp.options import OpenAnswer
from agent.adapters.backends.acp.quirks import Quirks, quirks_of
from agent.adapters.backends.acp.schema import ABSENT, AUTH_REQUIRED, PROTOCOL, given
from agent.adapters.backends.acp.timeouts import Timeouts
from agent.errors import BackendFailed
from agent.protocol.bounds import Many, Whole, Words
from agent.protocol.jsonrpc import CallFailed
from agent.protocol.lenient import read
from agent.protocol.names import clean

T = TypeVar("T")
TEXT_MAX = 500
"""Characters of an agent's own words in an error."""

_HELLO = {
    "protocolVersion": PROTOCOL,
    # fs and terminal stay off: agents have tools of their own, and none may make this service write files.
    "clientCapabilities": {
        "fs": {"readTextFile": False, "writeTextFile": False},
        "terminal": False,
        "elicitation": {"form": {}},
    },
    "clientInfo": {"name": "lan-agent", "title": "lan-agent", "version": __version__},
}


class _Info(Struct):
    name: Words = ""
    version: Words = ""


class _Sessions(Struct):
    resume: Raw = ABSENT


class _Capabilities(Struct):
    load: bool = msgspec.field(default=False, name="loadSession")
    sessions: Raw = msgspec.field(default=ABSENT, name="sessionCapabilities")


class _Method(Struct):
    id: Words = ""
    name: Words = ""
    description: Words | None = None


class _Initialized(Struct):
    version: Whole = msgspec.field(default=PROTOCOL, name="protocolVersion")
    info: Raw = msgspec.field(default=ABSENT, name="agentInfo")
    capabilities: Raw = msgspec.field(default=ABSENT, name="agentCapabilities")
    methods: Raw = msgspec.field(default=ABSENT, name="authMethods")


class _Details(Struct):
    details: Words = ""
    message: Words = ""


class OpenedSession(Struct, frozen=True):
    """A session that an agent has opened, with what it told of it."""

    state: OpenAnswer
    forgotten: str = ""  # why an older one could not be had


class AgentClient:
    """Calls an agent, with errors that a person can read, and keeps what the agent has told about itself."""

    def __init__(self, name: str, connection: Connection, login: str, timeouts: Timeouts) -> None:
        self.connection = connection
        self._name = name
        self._login = login
        self._timeouts = timeouts
        self._methods: list[_Method] = []
        self._load = ""  # the method that opens an older session
        self.quirks = Quirks()
        self.greeted = False

    @property
    def returns(self) -> bool:
        """Whether the agent opens older sessions."""
        return bool(self._load)

    async def greet(self) -> None:
        """Say what this side can do, and hear what the agent can. Raises: BackendFailed."""
        told = _read(await self.call("initialize", _HELLO, self._timeouts.start), _Initialized)
        if told.version != PROTOCOL:
            raise BackendFailed(
                f"{self._name} speaks version {told.version} of the Agent Client Protocol, and not {PROTOCOL}",
                hint="install another version of it, or update lan-agent",
            )
        info = _read(told.info, _Info)
        capabilities = _read(told.capabilities, _Capabilities)
        self.quirks = quirks_of(info.name, info.version)
        if capabilities.load:
            self._load = "session/load"
        elif given(_read(capabilities.sessions, _Sessions).resume):
            self._load = "session/resume"
        self._methods = read(told.methods, Many[_Method]) or []
        self.greeted = True

    async def open(self, folder: Path, known: str) -> OpenedSession:
        """Open the session that the agent knows as `known`, or else a new one.

        The session is ready for prompts on return: nothing of a replay is left. Raises: BackendFailed.
        """
        params = {"cwd": str(folder), "mcpServers": []}
        forgotten = ""
        if known and self._load:
            try:
                answer = await self._ask(self._load, {**params, "sessionId": known}, self._timeouts.load)
            except CallFailed as exc:
                if exc.code == AUTH_REQUIRED:
                    raise self._needs_login(exc) from exc
                forgotten = fault_text(exc)
            else:
                await self._quiet()
                state = _read(answer, OpenAnswer)
                state.session = known
                return OpenedSession(state)
        elif known:
            forgotten = "it cannot open older sessions"
        answer = await self.call("session/new", params, self._timeouts.start)
        state = _read(answer, OpenAnswer)
        if not state.session:
            raise BackendFailed(f"{self._name} opened no session", hint="see `agent backends`")
        return OpenedSession(state, forgotten)

    async def call(self, method: str, params: object, seconds: float) -> Raw:
        """Send the agent a request and wait for its answer. Raises: BackendFailed."""
        try:
            return await self._ask(method, params, seconds)
        except CallFailed as exc:
            if exc.code == AUTH_REQUIRED:
                raise self._needs_login(exc) from exc
            raise BackendFailed(f"{self._name} refused {method}: {fault_text(exc)}") from exc

    def needs_login(self, error: CallFailed) -> str:
        """What to tell who prompted an agent that is not logged in."""
        told = self._needs_login(error)
        return f"{told}; {told.hint}"

    async def _ask(self, method: str, params: object, seconds: float) -> Raw:
        process = self.connection.process
        try:
            return await self.connection.call(method, params, seconds)
        except AgentGone as exc:
            raise BackendFailed(f"{self._name} {await process.ended()}", hint="see `agent backends`") from exc
        except TimeoutError as exc:
            words = process.last_words()
            said = f"{self._name} did not answer {method} within {seconds:g} s"
            raise BackendFailed(f"{said}: {words}" if words else said) from exc

    async def _quiet(self) -> None:
        # Some agents send most of the replay after the answer (seen: gemini).
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while (now := loop.time()) - begun < self._timeouts.quiet_max and self.connection.open:
            left = max(begun, self.connection.heard_at) + self._timeouts.quiet - now
            if left <= 0:
                return
            await asyncio.sleep(left)

    def _needs_login(self, error: CallFailed) -> BackendFailed:
        ways = (f"{each.name or each.id} ({each.description})" if each.description else each.name or each.id
                for each in self._methods)  # fmt: skip
        said = clean("; ".join(ways) or fault_text(error), TEXT_MAX)
        return BackendFailed(f"{self._name} needs a login: {said}", hint=self._login or "log in on that device")


def fault_text(error: CallFailed) -> str:
    """The error that an agent answered with, in one line."""
    parts = [error.message or f"error {error.code}"]
    if details := read(error.data, Words | _Details):
        parts.append(details if isinstance(details, str) else details.details or details.message)
    return clean(": ".join(part for part in parts if part), TEXT_MAX)


def _read(raw: Raw, kind: type[T]) -> T:
    # Without what does not fit: an agent that tells it wrong may work all the same.
    return read(raw, kind) or kind()
