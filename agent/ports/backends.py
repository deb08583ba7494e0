"""The SPI of backends, what a session can be made of. A backend of another package implements `BackendType`.

It names it under the entry point group `lan_agent.backends` (docs/design/backends.md).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ClassVar, Literal, Protocol, runtime_checkable

from msgspec import Struct

from agent.protocol.events import (
    Answer,
    Choice,
    Command,
    Diff,
    Field,
    Location,
    Option,
    PlanEntry,
    RequestKind,
    TurnStatus,
    Usage,
)
from agent.protocol.model import SessionId
from agent.protocol.turn_causes import TurnCause

BACKEND_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""Form of a backend's name, which is typed in a shell."""


class Exchange(Struct, frozen=True):
    """One past turn of a session: the prompt and the reply, its parts joined."""

    prompt: str
    reply: str


History = Callable[[int], Awaitable[list[Exchange]]]
"""Gives the newest turns of the session's log that fit so many characters, oldest first."""


async def no_history(characters: int) -> list[Exchange]:  # noqa: ARG001 - the type above
    """The history of a new session: none."""
    return []


class Start(Struct, frozen=True, kw_only=True):
    """The parameters with which a session's program is started."""

    session: SessionId  # its id: for logs, and for the mark of programs (`RunsPrograms`)
    cwd: str = ""  # empty: the user's home
    command: tuple[str, ...] = ()  # program and arguments; empty unless the kind `takes_command`
    shell: str = ""  # which shell: a name ("zsh") or a path; empty: the user's own, or the kind has none (`RunsShell`)
    restored: bool = False  # the session has a history: the service was restarted, or the program was stopped when idle
    lineage: tuple[str, ...] = ()  # ids that `Described` gave before, newest last
    model: str = ""  # the same of its model
    history: History = no_history  # `await history(8000)`: the newest turns in so many characters, oldest first
    found: bool = False  # not started from here: join what runs under that lineage (`FindsSessions`)


class Prompted(Struct, frozen=True, kw_only=True):
    """A prompt that the program got by other means, at its own window: a turn begins, which ends as any other.

    While a turn runs it is only noted.
    """

    text: str
    by: str = ""  # the means, as part of the sender: "hermes"
    typed: bool = False  # a line typed at its terminal: the sender is the device whose viewer sent the last Enter (S7)
    past: bool = False  # that turn is over; if another one runs, all of it up to its end is left out


class Said(Struct, frozen=True):
    """More text of the reply."""

    text: str


class Thought(Struct, frozen=True):
    """More of the agent's visible thoughts."""

    text: str


class Tail(Struct, frozen=True):
    """What stands in rows of the running turn that may still change, as a progress bar does: shown, and kept nowhere.

    The newest one takes the place of those before; an empty one: nothing moves any more. Ten a second at most.
    """

    text: str = ""  # one screen, its rows parted by line feeds


class ToolStarted(Struct, frozen=True, kw_only=True):
    """The agent begins to use a tool."""

    tool_id: str  # unique in the turn
    title: str  # what people read: "Run the tests"
    tool: str = ""  # its kind: read, edit, execute, …
    input: str = ""  # what it is given: the command, JSON
    tool_name: str = ""  # as the program calls it: "Bash"
    locations: tuple[Location, ...] = ()  # places in files that it reads or changes


class ToolProgressed(Struct, frozen=True, kw_only=True):
    """A running tool gives more output."""

    tool_id: str
    text: str = ""  # added to its output
    title: str = ""  # in place of the first one
    diffs: tuple[Diff, ...] = ()
    locations: tuple[Location, ...] = ()  # all of them, if they have changed


class ToolFinished(Struct, frozen=True, kw_only=True):
    """A running tool is done, with its output."""

    tool_id: str
    status: TurnStatus
    output: str = ""
    diffs: tuple[Diff, ...] = ()
    locations: tuple[Location, ...] = ()  # all of them, if they have changed


class Planned(Struct, frozen=True):
    """The agent's whole plan, which replaces the one before."""

    entries: tuple[PlanEntry, ...]


class Unknown(Struct, frozen=True):
    """An event that has no type here: kept in the log, not shown."""

    kind: str
    data: str = ""  # JSON


class Asked(Struct, frozen=True, kw_only=True):
    """The program asks a person a question, and waits for the answer."""

    request_id: str  # unique in the session, for ever
    kind: RequestKind  # a line of text, one that is not shown, single keys, one of `choices`, a form of `fields`
    prompt: str = ""  # the question
    choices: tuple[Choice, ...] = ()  # of kind `choices`; the answer is the id of one
    detail: str = ""  # what it is about: the command, the diff
    fields: tuple[Field, ...] = ()  # of a form; its answer is an object, or "decline"
    local: bool = False  # answered on this device only, as the password of its owner
    own_words: bool = False  # of choices: the program takes any other text as well
    tool: str = ""  # the kind of tool that wants permission
    tool_name: str = ""  # as the program calls it
    cwd: str = ""  # where the command would run
    locations: tuple[Location, ...] = ()  # what the tool would read or change


TURN_OVER: dict[TurnStatus, str] = {
    "complete": "the turn is over",
    "interrupted": "the turn was interrupted",
    "error": "the turn has failed",
}
"""Why nobody waits for the answers to what a turn has asked, by how it ended: for `Withdrew`."""


class Withdrew(Struct, frozen=True):
    """The program no longer waits for the answer to a question."""

    request_id: str
    reason: str = ""  # why, as a part of a sentence: "the turn was interrupted"


class Described(Struct, frozen=True, kw_only=True):
    """Properties of the session that have changed; absent fields have not."""

    title: str | None = None  # in place of the program's earlier ones, never of one that a person gave
    cwd: str | None = None  # the directory in which it works now
    model: str | None = None  # which model answers
    program: str | None = None  # what runs: "zsh 5.9"; after ": " what to know of it, in words: "dash: it has no …"
    screen: str | None = None  # the full-screen program that has the terminal now: "vim"; a turn's end clears it
    lineage: tuple[str, ...] = ()  # a durable id of the backend's own (S11), kept for `Start.lineage`
    ours: bool = False  # a session that was found is as one started from here, from now on: `Start.found` no more
    options: tuple[Option, ...] | None = None  # all that may be set now
    commands: tuple[Command, ...] | None = None  # all that may be typed as `/name` now
    note: str = ""  # one line for whoever reads the log
    notice: str = ""  # one line for the owner of this device, shown in `agent status`


class Finished(Struct, frozen=True, kw_only=True):
    """The running turn is over, with its status. One with a `cause` or an error is never complete (S14)."""

    status: TurnStatus
    cause: TurnCause = ""  # why it is no success; each has its sentence (`protocol/turn_causes.py`)
    exit_status: int | None = None  # of a command; not 0: the turn was no success
    cwd: str = ""  # the directory after it
    error: str = ""  # one line of your own, in place of the cause's
    usage: Usage | None = None  # what the turn used
    typed: bool = False  # a typed line is over: none but the turn which that one began (`Prompted.typed`)


class Exited(Struct, frozen=True, kw_only=True):
    """The program ended and takes no more prompts: by itself (ended) or against its will (failed)."""

    status: Literal["ended", "failed"]
    reason: str = ""  # one line
    exit_status: int | None = None  # of a program that ended by itself


BackendEvent = (
    Prompted
    | Said
    | Thought
    | Tail
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
"""Takes an event of the program. Waits while the store or memory is behind: stop reading the program meanwhile."""


class Backend(Protocol):
    """One running program behind one session. Calls come one at a time, except `interrupt` and `close`."""

    async def prompt(self, text: str) -> None:
        """Start a turn; return at once. Its end is emitted as `Finished` (or `Exited`). Raises: BackendFailed."""

    async def answer(self, request_id: str, answer: Answer) -> None:
        """Hand over a person's answer. The id of a question that is no longer asked is no error."""

    async def interrupt(self) -> None:
        """Stop the running turn; its end is then emitted with status interrupted. Without a turn do nothing."""

    async def close(self) -> None:
        """End the program and everything that it started; nothing is emitted afterwards. A second call does nothing."""


@runtime_checkable
class RunsPrograms(Protocol):
    """An optional part of a `Backend`: names its processes, so that callers from inside a session are known."""

    def processes(self) -> Sequence[int]:
        """Process ids of the programs that it started and that still run; not those of their children."""


@runtime_checkable
class HasOptions(Protocol):
    """An optional part of a `Backend`: options to set, which it describes by `Described(options=…)`."""

    async def choose(self, option: str, value: str) -> None:
        """Set an option; the new state is emitted as `Described`. Raises: BackendFailed, BadParams."""


class BackendType(Protocol):
    """A kind of session. One instance per service, made without arguments (or by a `BackendFamily`)."""

    @property
    def name(self) -> str:
        """The name by which people choose the backend: `agent new --backend NAME`."""

    @property
    def description(self) -> str:
        """The backend in a few words, for everybody in the household."""

    @property
    def takes_command(self) -> bool:
        """Whether `Start.command` is the program to run. If not, the service sends the command as the first prompt."""

    def missing(self) -> str:
        """What must be installed before the backend can be used, as a sentence; empty if nothing."""

    async def start(self, start: Start, emit: Emit) -> Backend:
        """Start the program; it is ready for `prompt` on return. Raises: BackendFailed."""


@runtime_checkable
class RunsShell(Protocol):
    """An optional part of a `BackendType`: it runs an interactive shell, which `Start.shell` names."""

    def shells(self) -> Sequence[str]:
        """Names of the shells on this device that it knows, the user's own first. In no time; raises nothing."""


class Inspection(Struct, frozen=True, kw_only=True):
    """The state of a backend on this device, for `agent backends`."""

    detail: str = ""  # what was found: a version, an address, a program's path
    missing: str = ""  # what must be there first, as a sentence; empty: it can be used
    hint: str = ""  # how to get it


@runtime_checkable
class Inspects(Protocol):
    """An optional part of a `BackendType`: an inspection that may take time, in place of `missing`."""

    async def inspect(self) -> Inspection:
        """Inspect the backend, in at most a second. Raises nothing."""


class BackendConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[backends.NAME]` of the settings. Which fields count depends on `kind`."""

    kind: str = "acp"  # the entry point that makes it
    argv: tuple[str, ...] = ()  # program and arguments
    env: dict[str, str] = {}
    cwd: str = ""  # where sessions start that name no directory; empty: the user's home
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
    """Several backends from one entry point."""

    def members(self, configured: Mapping[str, BackendConfig]) -> Sequence[BackendType]:
        """The backends found on this device, and those that the settings name. Must not start or ask anything."""


class Installed(Struct, frozen=True, kw_only=True):
    """One backend as it was found when the service started."""

    name: str
    entry: str  # the entry point that makes it
    type: BackendType | None = None  # None: it is broken
    problem: str = ""  # why it is broken
    hint: str = ""


class Offer(Struct, frozen=True, kw_only=True):
    """One conversation that runs now, outside of this service."""

    key: str  # durable, the backend's own: the session has it in its lineage (S11)
    title: str = ""  # empty: none yet
    cwd: str = ""  # the directory in which it works


Offered = Callable[[Sequence[Offer]], Awaitable[None]]
"""Takes all conversations that run now. New ones become sessions, adopted ones that are missing are closed."""


@runtime_checkable
class FindsSessions(Protocol):
    """An optional part of a `BackendType`: finds conversations that run already, which become sessions."""

    async def watch(self, offered: Offered) -> None:
        """Offer all running conversations whenever they change, until cancelled; nothing while they cannot be known.

        A session joins one by `BackendType.start` with its key in `Start.lineage` and `Start.found`. Raises nothing.
        """


@runtime_checkable
class Rests(Protocol):
    """An optional part of a `Backend`: it can be closed while idle, and started again for the next prompt."""

    def may_rest(self) -> bool:
        """Whether closing loses nothing: no turn runs, and `BackendType.start` with its lineage brings it back."""


@runtime_checkable
class LetsGo(Protocol):
    """An optional part of a `Backend`: it can be left when this service stops, while its program goes on elsewhere."""

    async def let_go(self) -> None:
        """Close this end only: the program goes on for others that use it."""


@runtime_checkable
class ClearsUp(Protocol):
    """An optional part of a `BackendType`: ends programs that a killed service has left running."""

    async def clear_up(self, session: SessionId) -> None:
        """End programs of a session that still run; called once, before one is started for it. Raises nothing."""


@runtime_checkable
class EndsWithService(Protocol):
    """An optional part of a `BackendType`: its programs are not started again for a restored session."""

    ends_with_service: ClassVar[str]
    """Why a restored session has ended, as a sentence."""


@runtime_checkable
class StartsAnew(Protocol):
    """An optional part of a `BackendType`: the program of a restored session knows nothing of the one before."""

    starts_anew: ClassVar[str]
    """What is gone then, for the reader of the log."""


@runtime_checkable
class OfKind(Protocol):
    """An optional part of a `BackendType`: its kind, whatever its name. A session goes on with that kind only."""

    kind: ClassVar[str]
    """The name of the backend's entry point."""


def kind_of(backend: object) -> str:
    """The kind of a `BackendType`; empty if it has none."""
    return backend.kind if isinstance(backend, OfKind) else ""
