"""What the services need of the outside world: small promises, each kept by an adapter and by a fake in the tests.

Every implementation of a port passes the one suite in `tests/contracts/`. A backend of another package implements
`BackendType` and names it under the entry point group `lan_agent.backends` (docs/design/backends.md).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import ClassVar, Literal, Protocol

from msgspec import Raw, Struct

from agent.core.records import DeviceId, Endpoint, PairedDevice, PresenceRecord, SessionId
from agent.core.transcript import Answer, Choice, Event, RequestKind, TurnStatus
from agent.core.wire import Codec


class Clock(Protocol):
    """The time. Only `agent.clock` asks the system for it."""

    def time(self) -> float:
        """Unix seconds."""

    def monotonic(self) -> float:
        """Seconds that never jump."""

    async def sleep(self, seconds: float) -> None:
        """Return after that many monotonic seconds."""


# --- storage ---------------------------------------------------------------------------------------------------------


class SessionMeta(Struct, frozen=True, kw_only=True):
    """What is known of a hosted session beside its events."""

    id: SessionId
    epoch: str
    backend: str
    created_at: float  # Unix seconds
    title: str = ""
    cwd: str = ""
    command: tuple[str, ...] = ()
    lineage: tuple[str, ...] = ()
    closed: bool = False  # no longer listed; its log stays


class TranscriptStore(Protocol):
    """Durable logs of sessions. Events of one session are numbered from 1 without gaps.

    All methods may be called while others run; those on one session take effect in the order of the calls.
    """

    async def put(self, meta: SessionMeta) -> None:
        """Create or replace a session's row; durable when it returns. Raises: StoreFull."""

    async def append(self, session: SessionId, events: Sequence[Event]) -> None:
        """Return once the events would survive a power cut. All of them or none. Raises: StoreFull."""

    async def read(self, session: SessionId, after: int, limit: int) -> list[Event]:
        """Up to `limit` events numbered above `after`, oldest first. Empty for an unknown session."""

    async def read_before(self, session: SessionId, before: int | None, limit: int) -> list[Event]:
        """The newest `limit` events numbered below `before` (None: the very newest), oldest first."""

    async def outline(self, session: SessionId) -> list[Event]:
        """Every event whose type is not in `core.transcript.STREAMED`, oldest first: enough to rebuild its state."""

    async def sessions(self) -> list[SessionMeta]:
        """All sessions, oldest first."""

    async def last_seq(self, session: SessionId) -> int:
        """Number of the newest event; 0 if there is none."""

    async def close(self) -> None:
        """Write what is pending and let go of the file. Idempotent."""


class TrustStore(Protocol):
    """The devices that this one trusts. Each change is durable when the call returns."""

    def devices(self) -> list[PairedDevice]:
        """All of them, by id."""

    def put(self, device: PairedDevice) -> None:
        """Add or replace. Raises: StateError."""

    def remove(self, device: DeviceId) -> None:
        """Forget; an unknown id is no error. Raises: StateError."""


# --- discovery -------------------------------------------------------------------------------------------------------


class Heard(Struct, frozen=True):
    """A presence record arrived (new, changed, or the same again)."""

    record: PresenceRecord


class Goodbye(Struct, frozen=True):
    """A record was withdrawn by its sender, or by somebody who says so."""

    device: DeviceId


class Echoed(Struct, frozen=True):
    """Somebody published under our own name: answer with a new revision."""


Sighting = Heard | Goodbye | Echoed


class PairingWindow(Struct, frozen=True, kw_only=True):
    """A pairing listener that was heard on the network."""

    slot: str  # two digits
    name: str  # of the device that shows the code, cleaned
    endpoints: tuple[Endpoint, ...]


class Discovery(Protocol):
    """Finds other gateways and announces this one. Never raises for what the network sends."""

    async def run(self, heard: Callable[[Sighting], None]) -> None:
        """Announce and browse until cancelled, then say goodbye. Calls `heard` on the loop; it must not block."""

    def publish(self, strings: Sequence[bytes]) -> None:
        """Announce these TXT strings from now on, at once; calls before `run` count too."""

    def announce_again(self) -> None:
        """Send the same record once more."""

    def poke(self) -> None:
        """Ask the network who is there."""

    def hosts(self) -> tuple[str, ...]:
        """IP addresses that are announced now, link-local IPv6 with its zone."""

    def interfaces(self) -> tuple[str, ...]:
        """Names of the interfaces in use."""

    async def open_window(self, slot: str, name: str, port: int) -> None:
        """Announce a pairing listener until `close_window`."""

    async def close_window(self) -> None:
        """Withdraw it. Idempotent."""

    async def find_windows(self, slot: str, seconds: float) -> list[PairingWindow]:
        """Pairing listeners with that slot; waits up to `seconds` for the first, and a moment for others."""


# --- links -----------------------------------------------------------------------------------------------------------


class Channel(Protocol):
    """One open connection that carries JSON-RPC messages both ways, in order."""

    device: DeviceId | None  # whose key authenticated it; None: a client of this device
    codec: Codec
    told: str  # once closed: the reason that the other side gave, if any

    def send(self, frame: bytes) -> None:
        """Queue a frame. Never waits: when the queue is full the connection is cut off (S5)."""

    def notify(self, method: str, params: object) -> None:
        """Queue a notification."""

    async def request(self, method: str, params: object, *, seconds: float) -> Raw:
        """Ask and wait. Raises: PeerLost, TimedOut, or the AgentError that the other side told."""

    async def run(self, handler: MessageHandler) -> None:
        """Read until the connection ends; then every waiting `request` has failed with PeerLost."""

    def close(self, reason: str = "") -> None:
        """Send what is queued, then close. Idempotent."""

    def abort(self) -> None:
        """Cut at once."""

    async def drained(self) -> None:
        """Return once most of what was queued is sent, or the connection is closed."""

    def busy(self, *, attached: bool) -> None:
        """Tell the channel whether anything is attached over it: it then pings more often (L3)."""


class Followed(Struct, frozen=True):
    """An answer that something must follow: the channel sends `result`, then awaits `follow()`."""

    result: object
    follow: Callable[[], Awaitable[None]]


class MessageHandler(Protocol):
    """What a channel does with what it reads."""

    async def on_request(self, channel: Channel, method: str, params: Raw) -> object:
        """Answer a request: a struct, `Raw` or `Followed`. Raises: AgentError. Requests run side by side."""

    def on_notification(self, channel: Channel, method: str, params: Raw, frame: bytes) -> None:
        """Take a notification; `frame` is the whole message as it came, to pass on."""

    def on_closed(self, channel: Channel) -> None:
        """The connection has ended, however; nothing comes after this."""


class Dialer(Protocol):
    """Opens links."""

    async def dial(self, device: DeviceId, endpoints: Sequence[Endpoint]) -> tuple[Channel, Endpoint]:
        """Connect to a paired device at the first endpoint that answers with its key (L3).

        Raises: PeerUnreachable, Refused (it answered and does not accept us), NotPaired.
        """

    async def identify(self, endpoint: Endpoint) -> bytes | None:
        """The certificate (DER) that answers there, without telling who asks; None if nobody does."""


# --- pairing ---------------------------------------------------------------------------------------------------------


class PairingExchange(Protocol):
    """One connection between a pairing window and a joiner. Whoever is too slow in all is given up."""

    certificate: bytes  # DER, as TLS showed it: the host's, on both sides
    host: str  # IP address of the other side, link-local IPv6 with its zone

    async def send(self, frame: bytes) -> None:
        """Send one message. Raises: PairingFailed."""

    async def receive(self) -> bytes:
        """The next message. Raises: PairingFailed; TurnedAway, if the host ended the exchange instead."""

    async def end(self, *, accepted: bool) -> None:
        """Host: tell the joiner the outcome, in one word and no reason. Never raises for the network."""

    async def accepted(self) -> None:
        """Joiner: return once the host has said that it is paired. Raises: PairingFailed, TurnedAway."""


class PairingTransport(Protocol):
    """Carries pairing messages; knows nothing of codes and of what the messages say."""

    async def serve(self, opened: Callable[[int], None], answer: Callable[[PairingExchange], Awaitable[None]]) -> None:
        """Listen on a free port, told to `opened`, until cancelled; nothing listens afterwards.

        `answer` runs once for each joiner, several at a time. Raises: ConfigError, StateError, before `opened`.
        """

    def connect(self, endpoints: Sequence[Endpoint]) -> AbstractAsyncContextManager[PairingExchange]:
        """Reach one window, at the first of its endpoints that answers. Raises: PeerUnreachable."""


# --- backends --------------------------------------------------------------------------------------------------------


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
