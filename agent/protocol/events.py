"""The events of a session's log, and the payload of each type.

Source: DESIGN §3 (event types) and §4 (S2, S4). Payloads are MessagePack inside an `Event`, so that storing, relaying
and fan-out never take them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from agent.errors import BadFrame
from agent.protocol.bounds import Amount, Count, Stamp, Whole
from agent.protocol.colours import plain
from agent.protocol.model import Sender
from agent.protocol.times import rfc3339, unix_seconds

TEXT_MAX = 131_072
"""Characters of one prompt, answer or reply: fits a frame of 1 MiB in any encoding."""

Text = Annotated[str, Meta(max_length=TEXT_MAX)]
Short = Annotated[str, Meta(max_length=4096)]
Id = Annotated[str, Meta(max_length=128)]
Real = Annotated[float, Meta(ge=-1.7e308, le=1.7e308)]
Scalar = Text | Whole | Real | bool | None
Selected = Annotated[list[Short], Meta(max_length=1024)]
Answer = Text | Annotated[dict[Short, Scalar | Selected], Meta(max_length=64)]
"""The answer of a person: text or an option's id; for a form, its fields."""

TurnStatus = Literal["complete", "interrupted", "error"]


class UserMessage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`message.user`: an accepted prompt. Turns count from 1."""

    turn: Count
    prompt_id: Id
    text: Text
    sender: Sender
    queued: bool = False  # whether another turn was running
    steer: bool = False  # sent to stop that turn and go first


class MessageStart(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`message.start`: a reply begins. A turn has one, or several parts when tools run in between (from 1).

    Turn 0 is what an agent says unasked, between two turns.
    """

    turn: Count
    part: Count = 1


class MessageDelta(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`message.delta`: more of the reply."""

    turn: Count
    text: Text
    part: Count = 1


class MessageComplete(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`message.complete`: the whole reply; this text is authoritative over the deltas."""

    turn: Count
    text: Text
    status: TurnStatus
    part: Count = 1


class ThoughtDelta(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`thought.delta`: more of the agent's visible thoughts."""

    turn: Count
    text: Text
    part: Count = 1


class Location(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A place that a tool reads or changes."""

    path: Short
    line: Count = 0  # from 1; 0: not told


LOCATIONS_MAX = 32
Locations = Annotated[tuple[Location, ...], Meta(max_length=LOCATIONS_MAX)]


class ToolStart(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`tool.start`: the agent uses a tool."""

    turn: Count
    tool_id: Id
    title: Short
    tool: Short = ""  # read, edit, execute, …
    input: Text = ""
    tool_name: Short = ""  # as the program calls it: Bash, read_file
    locations: Locations = ()


class Diff(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The change that a tool makes to a file."""

    path: Short
    patch: Text  # unified diff, without the two lines of file names
    cut: Count = 0  # lines that were left out at its end
    added: Count = 0  # of a diff that was cut: lines that come, of all
    removed: Count = 0  # and that go


DIFFS_MAX = 32
Diffs = Annotated[tuple[Diff, ...], Meta(max_length=DIFFS_MAX)]


class ToolUpdate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`tool.update`: more output of a tool."""

    turn: Count
    tool_id: Id
    text: Text = ""
    title: Short = ""
    diffs: Diffs = ()
    locations: Locations = ()  # all of them, if they have changed


class ToolComplete(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`tool.complete`: the tool is done, with its output."""

    turn: Count
    tool_id: Id
    status: TurnStatus
    output: Text = ""
    diffs: Diffs = ()
    locations: Locations = ()


class PlanEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of a plan."""

    text: Short
    status: Literal["pending", "in_progress", "completed"] = "pending"
    priority: Id = ""


class PlanUpdate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`plan.update`: the agent's whole plan; it replaces the one before."""

    turn: Count
    entries: Annotated[tuple[PlanEntry, ...], Meta(max_length=128)] = ()


class Other(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`other`: an event of a backend that this version has no type for. Kept, not shown."""

    turn: Count
    kind: Short
    data: Text = ""  # JSON


class Choice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One way to answer a request."""

    id: Id
    name: Short
    kind: Id = ""  # allow_once, allow_always, reject_once, reject_always (ACP)
    description: Short = ""  # what choosing it means


RequestKind = Literal["line", "secret", "keys", "choices", "form"]


class Field(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One field of a form (JSON Schema, flat)."""

    name: Id
    title: Short = ""
    description: Short = ""
    type: Literal["text", "integer", "number", "boolean", "choice", "choices"] = "text"
    choices: Annotated[tuple[Choice, ...], Meta(max_length=64)] = ()  # of a `choice`, or of several `choices`
    required: bool = False
    default: Short | Whole | Real | bool | None = None
    own_words: bool = False  # of a `choice` or several: any other text is an answer, too


class RequestOpen(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`request.open`: the session asks a person a question."""

    turn: Count
    request_id: Id
    kind: RequestKind
    prompt: Short = ""
    choices: Annotated[tuple[Choice, ...], Meta(max_length=64)] = ()
    detail: Text = ""  # what it is about: the command, the diff
    fields: Annotated[tuple[Field, ...], Meta(max_length=64)] = ()  # of a form
    local: bool = False  # only a client of the session's own device may answer
    own_words: bool = False  # of `choices`: any other text is an answer, too
    tool: Short = ""  # the kind of tool that wants permission: execute, edit, …
    tool_name: Short = ""  # as the program calls it
    cwd: Short = ""  # where the command would run
    locations: Locations = ()  # what the tool would read or change


class RequestClosed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`request.closed`: the question was answered, or withdrawn. `answer` is empty for a secret."""

    turn: Count
    request_id: Id
    status: Literal["answered", "expired"]
    answer: Answer = ""
    by: Sender | None = None
    reason: Short = ""  # of an expired one: why nobody waits for the answer any more


class Usage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The usage of a model, as its agent reports it."""

    used: Count = 0  # tokens of the context
    size: Count = 0  # tokens that the context holds; 0: not told
    cost: Amount = 0.0  # of the session so far; 0.0: not told
    currency: Id = ""  # ISO 4217


class TurnComplete(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`turn.complete`: the turn is over, or never begins; the next queued prompt starts, unless another turn runs."""

    turn: Count
    status: TurnStatus
    exit_status: Whole | None = None  # of a shell command
    cwd: Short = ""
    error: Short = ""
    usage: Usage | None = None
    cause: Id = ""  # why it is no plain success, for programs (`turn_causes`)
    withdrawn_by: Sender | None = None  # the prompt was taken back while it waited: it never ran


class Option(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An option that may be set of a session: its model, its mode."""

    id: Id
    name: Short
    value: Id
    choices: Annotated[tuple[Choice, ...], Meta(max_length=256)] = ()
    category: Id = ""  # model, mode, thought_level, … (ACP)
    description: Short = ""  # what it is for


class Command(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A command that the agent knows: a prompt that begins with `/name`."""

    name: Id
    description: Short = ""
    hint: Short = ""  # what may follow the name: "branch name"


Options = Annotated[tuple[Option, ...], Meta(max_length=32)]
Commands = Annotated[tuple[Command, ...], Meta(max_length=256)]


class SessionInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`session.info`: properties of the session that have changed; absent fields have not."""

    status: Literal["starting", "idle", "ended", "failed", ""] = ""
    title: Annotated[str, Meta(max_length=512)] | None = None
    named: bool = False  # a person gave that title: no program changes it
    cwd: Short | None = None
    model: Short | None = None
    note: Short = ""  # one line for the reader: "the service was restarted"
    epoch: Id = ""  # another life of the log begins with this event (`sessions.rules.epochs`)
    options: Options | None = None  # all of them
    commands: Commands | None = None  # all of them
    program: Short | None = None  # what runs, as in a `SessionRow`
    screen: Short | None = None  # the full-screen program that is on its terminal; a turn's end, or a status, clears it


Payload = (
    UserMessage
    | MessageStart
    | MessageDelta
    | MessageComplete
    | ThoughtDelta
    | ToolStart
    | ToolUpdate
    | ToolComplete
    | PlanUpdate
    | Other
    | RequestOpen
    | RequestClosed
    | TurnComplete
    | SessionInfo
)

TYPES: dict[str, type[Payload]] = {
    "message.user": UserMessage,
    "message.start": MessageStart,
    "message.delta": MessageDelta,
    "message.complete": MessageComplete,
    "thought.delta": ThoughtDelta,
    "tool.start": ToolStart,
    "tool.update": ToolUpdate,
    "tool.complete": ToolComplete,
    "plan.update": PlanUpdate,
    "other": Other,
    "request.open": RequestOpen,
    "request.closed": RequestClosed,
    "turn.complete": TurnComplete,
    "session.info": SessionInfo,
}
NAMES: dict[type[Payload], str] = {kind: name for name, kind in TYPES.items()}
_REPLY = frozenset({NAMES[MessageDelta], NAMES[MessageComplete]})
STREAMED = frozenset({"message.delta", "thought.delta", "tool.update"})
"""Types of events that only add to what a later event has in full."""

_encoder = msgspec.msgpack.Encoder()
_decoders = {name: msgspec.msgpack.Decoder(kind) for name, kind in TYPES.items()}
P = TypeVar("P", bound=Payload)


class Event(Struct, frozen=True):
    """One numbered entry of a session's log, as it is stored and sent; its payload is MessagePack."""

    seq: Count  # from 1, without gaps
    type: Id
    payload: Raw
    at: Stamp  # RFC 3339, UTC


def encoded(payload: Payload) -> bytes:
    """Encode a payload as it is stored and sent."""
    return _encoder.encode(payload)


def make_event(seq: int, payload: Payload, now: float) -> Event:
    """Make an event of a payload: numbered, and stamped with `now` (Unix seconds)."""
    return Event(seq, NAMES[type(payload)], Raw(_encoder.encode(payload)), rfc3339(now))


def payload_of(event: Event) -> Payload | None:
    """The typed payload of an event; None for a type of a later version. Raises: BadFrame, if it does not fit."""
    decoder = _decoders.get(event.type)
    if decoder is None:
        return None
    try:
        return decoder.decode(event.payload)
    except (ValueError, RecursionError) as exc:
        raise BadFrame(f"event {event.seq} ({event.type}): {exc}") from exc


def epoch_of(event: Event) -> str:
    """The epoch of the log that begins with an event; empty, if none does. Raises: BadFrame."""
    payload = payload_of(event) if event.type == NAMES[SessionInfo] else None
    return payload.epoch if isinstance(payload, SessionInfo) else ""


DAMAGED = "this entry of the log is damaged and cannot be read"
_NEVER = rfc3339(0.0)


def is_readable(event: Event) -> bool:
    """Whether an event is undamaged since it was stored, as far as its form shows."""
    try:
        unix_seconds(event.at)
        if payload_of(event) is None:
            msgspec.msgpack.decode(bytes(event.payload))
    except (BadFrame, ValueError, RecursionError):
        return False
    return True


def mended(events: Iterable[Event], after: int) -> Iterator[Event]:
    """A stretch of a log that follows on event `after`, with a note in place of each event that is damaged or gone.

    A reader must get every number once, in order (S4), whatever has become of the file.
    """
    at = _NEVER
    for event in events:
        for lost in range(after + 1, event.seq):
            yield Event(lost, NAMES[SessionInfo], Raw(encoded(SessionInfo(note=DAMAGED))), at)
        if is_readable(event):
            at = event.at
            yield event
        else:
            yield Event(event.seq, NAMES[SessionInfo], Raw(encoded(SessionInfo(note=DAMAGED))), at)
        after = event.seq


def plain_event(event: Event) -> Event:
    """An event whose text of a reply has no colours. Raises: BadFrame, for a damaged one."""
    if event.type not in _REPLY or b"\x1b[" not in bytes(event.payload):
        return event
    payload = payload_of(event)
    assert isinstance(payload, MessageDelta | MessageComplete)
    bare = msgspec.structs.replace(payload, text=plain(payload.text))
    return msgspec.structs.replace(event, payload=Raw(encoded(bare)))


def as_wanted(events: Iterable[Event], *, colours: bool) -> tuple[Event, ...]:
    """Events with the colours of replies, or without. Raises: BadFrame, for a damaged one."""
    return tuple(events if colours else map(plain_event, events))
