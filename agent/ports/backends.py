"""What a session can be made of. A backend of another package implements `BackendType`.

It names it under the entry point group `lan_agent.backends` (docs/design/backends.md).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Literal, Protocol, runtime_checkable

from msgspec import Struct

from agent.core.records import SessionId
from agent.core.transcript import Answer, Choice, RequestKind, TurnStatus


class Start(Struct, frozen=True, kw_only=True):
    """How a session's program is to be started."""

    session: SessionId
    cwd: str = ""  # empty: the user's home
    command: tuple[str, ...] = ()
    restored: bool = False  # the service was restarted; the session has a history


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


class ToolFinished(Struct, frozen=True, kw_only=True):
    """The tool is done."""

    tool_id: str
    status: TurnStatus
    output: str = ""


class Asked(Struct, frozen=True, kw_only=True):
    """The program waits for a person."""

    request_id: str  # unique in the session
    kind: RequestKind
    prompt: str = ""
    choices: tuple[Choice, ...] = ()


class Withdrew(Struct, frozen=True):
    """The program no longer waits for that answer."""

    request_id: str


class Described(Struct, frozen=True, kw_only=True):
    """What is known of the session has changed."""

    title: str | None = None
    cwd: str | None = None
    model: str | None = None
    lineage: tuple[str, ...] = ()  # a durable id of the backend's own (S11)


class Finished(Struct, frozen=True, kw_only=True):
    """The turn is over."""

    status: TurnStatus
    exit_status: int | None = None
    cwd: str = ""
    error: str = ""


class Exited(Struct, frozen=True, kw_only=True):
    """The program ended and takes no more prompts: by itself (ended) or against its will (failed)."""

    status: Literal["ended", "failed"]
    reason: str = ""
    exit_status: int | None = None  # of a program that ended by itself


BackendEvent = (
    Said | Thought | ToolStarted | ToolProgressed | ToolFinished | Asked | Withdrew | Described | Finished | Exited
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


class BackendType(Protocol):
    """A kind of session. One instance per service, made without arguments."""

    name: ClassVar[str]
    description: ClassVar[str]
    takes_command: ClassVar[bool]
    """Whether `Start.command` is the program to run. If not, the service sends it as the first prompt."""

    def missing(self) -> str:
        """What must be installed before it can be used, as a sentence; empty if nothing."""

    async def start(self, start: Start, emit: Emit) -> Backend:
        """Start the program; it is ready for `prompt` on return. Raises: BackendFailed."""
