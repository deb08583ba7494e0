"""What a session can be made of. A backend of another package implements `BackendType`.

It names it under the entry point group `lan_agent.backends` (docs/design/backends.md).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

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
from agent.protocol.model import SessionId

BACKEND_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""What a backend may be called: it is typed in a shell."""


class Exchange(Struct, frozen=True):
    """One turn of a session's past: what was asked and what was answered, its parts joined."""

    prompt: str
    reply: str


History = Callable[[int], Awaitable[list[Exchange]]]
"""The newest turns of the session's log that fit so many characters, oldest first."""


async def no_history(characters: int) -> list[Exchange]:  # noqa: ARG001 - the type above
    """Of a new session."""
    return []


class Start(Struct, frozen=True, kw_only=True):
    """How a session's program is to be started."""

    session: SessionId
    cwd: str = ""  # empty: the user's home
    command: tuple[str, ...] = ()
    restored: bool = False  # the session has a history: the service was restarted, or the program was stopped when idle
    lineage: tuple[str, ...] = ()  # what `Described` told of it before, newest last
    model: str = ""  # the same of its model
    history: History = no_history
    found: bool = False  # not started from here: join what runs under that lineage (`ports.found`)


class Prompted(Struct, frozen=True, kw_only=True):
    """Somebody prompted the program by other means, at its own window: a turn begins, which ends as any other.

    While a turn runs it is only noted.
    """

    text: str
    by: str = ""  # which means, for "who said it": "hermes"
    past: bool = False  # that turn is over; if another one runs, all of it up to its end is left out


class Said(Struct, frozen=True):
    """More of the reply."""

    text: str


class Thought(Struct, frozen=True):
    """More of what the agent thinks aloud."""

    text: str


class ToolStarted(Struct, frozen=True, kw_only=True):
    """The agent uses a tool."""

    tool_id: str
    title: str
    tool: str = ""
    input: str = ""


class ToolProgressed(Struct, frozen=True, kw_only=True):
    """The tool gives output."""

    tool_id: str
    text: str = ""
    title: str = ""
    diffs: tuple[Diff, ...] = ()


class ToolFinished(Struct, frozen=True, kw_only=True):
    """The tool is done."""

    tool_id: str
    status: TurnStatus
    output: str = ""
    diffs: tuple[Diff, ...] = ()


class Planned(Struct, frozen=True):
    """What the agent means to do, whole."""

    entries: tuple[PlanEntry, ...]


class Unknown(Struct, frozen=True):
    """What has no name here: kept in the log, not shown."""

    kind: str
    data: str = ""  # JSON


class Asked(Struct, frozen=True, kw_only=True):
    """The program waits for a person."""

    request_id: str  # unique in the session
    kind: RequestKind
    prompt: str = ""
    choices: tuple[Choice, ...] = ()
    detail: str = ""  # what it is about: the command, the diff
    fields: tuple[Field, ...] = ()  # of a form; its answer is an object, or "decline"
    local: bool = False  # answered on this device only, as the password of its owner


class Withdrew(Struct, frozen=True):
    """The program no longer waits for that answer."""

    request_id: str


class Described(Struct, frozen=True, kw_only=True):
    """What is known of the session has changed; absent fields have not."""

    title: str | None = None
    cwd: str | None = None
    model: str | None = None
    lineage: tuple[str, ...] = ()  # a durable id of the backend's own (S11), kept for `Start.lineage`
    ours: bool = False  # a session that was found is as one started from here, from now on: `Start.found` no more
    options: tuple[Option, ...] | None = None  # all that may be set now
    commands: tuple[Command, ...] | None = None
    note: str = ""  # one line for whoever reads the log
    notice: str = ""  # one line for the owner of this device: said there, shown in `agent status`


class Finished(Struct, frozen=True, kw_only=True):
    """The turn is over."""

    status: TurnStatus
    exit_status: int | None = None
    cwd: str = ""
    error: str = ""
    usage: Usage | None = None


class Exited(Struct, frozen=True, kw_only=True):
    """The program ended and takes no more prompts: by itself (ended) or against its will (failed)."""

    status: Literal["ended", "failed"]
    reason: str = ""
    exit_status: int | None = None  # of a program that ended by itself


BackendEvent = (
    Prompted
    | Said
    | Thought
    | ToolStarted
    | ToolProgressed
    | ToolFinished
    | Planned
    | Unknown
    | Asked
    | Withdrew
    | Described
    | Finished
    | Exited
)
Emit = Callable[[BackendEvent], Awaitable[None]]
"""Take an event of the program. Waits while the store or memory is behind: stop reading the program meanwhile."""


class Backend(Protocol):
    """One running program behind one session. Calls come one at a time, except `interrupt` and `close`."""

    async def prompt(self, text: str) -> None:
        """Start a turn; return at once. Its end is emitted as `Finished` (or `Exited`). Raises: BackendFailed."""

    async def answer(self, request_id: str, answer: Answer) -> None:
        """Hand over what a person answered. An id that is no longer asked is no error."""

    async def interrupt(self) -> None:
        """Stop the turn; its end is then emitted with status interrupted. Without a turn it does nothing."""

    async def close(self) -> None:
        """End the program and everything that it started; nothing is emitted afterwards. Idempotent."""


@runtime_checkable
class RunsPrograms(Protocol):
    """What a `Backend` may offer beside: which programs it runs, so that callers from inside a session are known."""

    def processes(self) -> Sequence[int]:
        """Process ids of the programs it started that still run; not those of their children."""


@runtime_checkable
class HasOptions(Protocol):
    """What a `Backend` may offer beside: things to set. It describes them by `Described(options=…)`."""

    async def choose(self, option: str, value: str) -> None:
        """Set an option; the new state is emitted as `Described`. Raises: BackendFailed, BadParams."""


class BackendType(Protocol):
    """A kind of session. One instance per service, made without arguments (or by a `BackendFamily`)."""

    @property
    def name(self) -> str:
        """What people call it: `agent new --backend NAME`."""

    @property
    def description(self) -> str:
        """What it is, in a few words, for everybody in the household."""

    @property
    def takes_command(self) -> bool:
        """Whether `Start.command` is the program to run. If not, the service sends it as the first prompt."""

    def missing(self) -> str:
        """What must be installed before it can be used, as a sentence; empty if nothing."""

    async def start(self, start: Start, emit: Emit) -> Backend:
        """Start the program; it is ready for `prompt` on return. Raises: BackendFailed."""


class Inspection(Struct, frozen=True, kw_only=True):
    """How a kind of session stands on this device, for `agent backends`."""

    detail: str = ""  # what was found: a version, an address, a program's path
    missing: str = ""  # what must be there first, as a sentence; empty: it can be used
    hint: str = ""  # how to get it


@runtime_checkable
class Inspects(Protocol):
    """What a `BackendType` may offer beside `missing`: a look that may take time."""

    async def inspect(self) -> Inspection:
        """Look. At most a second; raises nothing."""


class BackendConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[backends.NAME]` of the settings. Which fields count depends on `kind`."""

    kind: str = "acp"  # the entry point that makes it
    argv: tuple[str, ...] = ()  # program and arguments
    env: dict[str, str] = {}
    cwd: str = ""  # where sessions start, if not asked for; empty: the user's home
    url: str = ""
    model: str = ""
    key_env: str = ""  # name of the environment variable of the service that holds an API key (T7)
    key_file: str = ""  # a file with mode 0600 that holds it
    mode: str = ""  # hermes: "own", a gateway of our own (the default); "join", one that runs already
    token_file: str = ""  # hermes: a file with mode 0600 that holds the token of the gateway to join
    remote_secrets: bool = False  # hermes: whether other devices may answer questions for passwords and secrets
    description: str = ""


@runtime_checkable
class BackendFamily(Protocol):
    """Several kinds of session from one entry point."""

    def members(self, configured: Mapping[str, BackendConfig]) -> Sequence[BackendType]:
        """Those found on this device, and those that the settings name. Must not start or ask anything."""


class Installed(Struct, frozen=True, kw_only=True):
    """One kind of session as it was found when the service started."""

    name: str
    entry: str  # the entry point that makes it
    type: BackendType | None = None  # None: it is broken
    problem: str = ""  # why it is broken
    hint: str = ""
