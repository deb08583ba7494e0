"""The messages of the Agent Client Protocol, version 1, as they are read: leniently.

Only what is used is declared, so that nothing else can be wrong. An update that does not fit becomes `Strange`.
Source: agentclientprotocol.com/protocol/v1, schema 1.19; docs/design/acp.md.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from agent.protocol.bounds import Amount, Many, Whole, Words
from agent.protocol.jsonrpc import CallFailed, Notification, Request, Response, call_failed
from agent.protocol.lenient import BAD, CROWDED, LenientReader, items, number_or_text, read, too_many

PROTOCOL = 1
"""The version that is spoken."""

AUTH_REQUIRED = -32000
METHOD_NOT_FOUND = -32601
TOO_LARGE = -32600
PARSE_ERROR = -32700
"""JSON-RPC error codes."""

ABSENT = Raw(b"")
"""A field that is not there: `Raw` cannot be in a union."""


def given(raw: Raw) -> bool:
    """Whether a field of a message is there, and not null."""
    return bytes(raw) not in {b"", b"null"}


class Block(Struct):
    """A piece of content: text, or something that is only named."""

    type: Words = ""
    text: Words = ""
    name: Words = ""
    uri: Words = ""
    mime: Words = msgspec.field(default="", name="mimeType")
    resource: Raw = ABSENT


Content = Block | Words | Many[Block]
"""Content of a message: a block, and what some agents write in its place."""


class _Update(Struct, tag_field="sessionUpdate"):
    pass


class AgentMessage(_Update, tag="agent_message_chunk"):
    """Update: more of the agent's reply."""

    content: Content
    message_id: Words | None = msgspec.field(default=None, name="messageId")


class AgentThought(_Update, tag="agent_thought_chunk"):
    """Update: more of what the agent thinks aloud."""

    content: Content


class ReplayedPrompt(_Update, tag="user_message_chunk"):
    """Update: a prompt of ours that the agent replays."""


class Place(Struct):
    """A place in a file that a tool reads or changes."""

    path: Words
    line: Whole | None = None


class AgentToolCall(_Update, tag="tool_call"):
    """Update: a tool is used; `tool_call_update` has the same fields, those that have changed."""

    id: Words = msgspec.field(name="toolCallId")
    title: Words | None = None
    kind: Words | None = None
    status: Words | None = None
    content: Many[Raw] | None = None
    raw_input: Raw = msgspec.field(default=ABSENT, name="rawInput")
    raw_output: Raw = msgspec.field(default=ABSENT, name="rawOutput")
    locations: Many[Place] | None = None
    tool_name: Words | None = msgspec.field(default=None, name="toolName")
    meta: Raw = msgspec.field(default=ABSENT, name="_meta")


class AgentToolUpdate(AgentToolCall, tag="tool_call_update"):
    """Update: a tool goes on, ends, or is heard of for the first time."""


class PlanStep(Struct):
    """One entry of the agent's plan."""

    content: Words = ""
    priority: Words | None = None
    status: Words | None = None


class AgentPlan(_Update, tag="plan"):
    """Update: the agent's whole plan."""

    entries: Many[PlanStep]


class CommandInput(Struct):
    """What may follow the name of a command."""

    hint: Words = ""


class CommandInfo(Struct):
    """A slash command that the agent knows."""

    name: Words
    description: Words | None = None
    input: CommandInput = msgspec.field(default_factory=CommandInput)


class Commands(_Update, tag="available_commands_update"):
    """Update: all slash commands that the agent knows."""

    commands: Many[CommandInfo] = msgspec.field(name="availableCommands")


class ModeChanged(_Update, tag="current_mode_update"):
    """Update: the session's mode is another."""

    mode: Words = msgspec.field(name="currentModeId")


class ConfigChanged(_Update, tag="config_option_update"):
    """Update: all options of the session."""

    options: Raw = msgspec.field(name="configOptions")


class SessionInfoChanged(_Update, tag="session_info_update"):
    """Update: what the session is called."""

    title: Words | None = None
    meta: Raw = msgspec.field(default=ABSENT, name="_meta")


class Cost(Struct):
    """What the session has cost so far."""

    amount: Amount | None = None
    currency: Words | None = None


class UsageChanged(_Update, tag="usage_update"):
    """Update: how many tokens the context holds."""

    used: Amount | None = None
    size: Amount | None = None
    cost: Cost | None = None


Update = (
    AgentMessage
    | AgentThought
    | ReplayedPrompt
    | AgentToolCall
    | AgentToolUpdate
    | AgentPlan
    | Commands
    | ModeChanged
    | ConfigChanged
    | SessionInfoChanged
    | UsageChanged
)


class Updated(Struct):
    """A notification `session/update` that was understood."""

    session: Words = msgspec.field(name="sessionId")
    update: Update


class _UpdateFrame(Struct):
    method: Literal["session/update"]
    params: Updated


class Strange(Struct):
    """A notification, or an update, that has no name here."""

    kind: Words
    data: Raw
    session: Words = ""


class Unread(Struct):
    """A line of the agent that was too long to be read: what its beginning and its end tell of it."""

    what: Words  # named as a person reads it, with its size
    update: Words = ""  # kind of the update; empty: it was none
    tool: Words = ""  # id of the tool call that it is about
    title: Words | None = None
    status: Words | None = None  # of the tool call


class Garbage(Struct):
    """A line of the agent that is no message."""

    text: Words


Other = Updated | Strange | Unread | Request[Raw] | Notification | Garbage
"""What an agent says that is no answer. The `id` of a request is sent back as it came."""
AgentResponse = Response[CallFailed]


class _Frame(Struct):
    jsonrpc: Raw = ABSENT
    id: Raw = ABSENT
    method: Words = ""
    params: Raw = ABSENT
    result: Raw = ABSENT
    error: Raw = ABSENT


class _LooseUpdate(Struct):
    kind: Words = msgspec.field(default="", name="sessionUpdate")


class _Loose(Struct):
    session: Words = msgspec.field(default="", name="sessionId")
    update: _LooseUpdate | None = None


_update = msgspec.json.Decoder(_UpdateFrame)
BATCH_MAX = 1_024
"""Messages of one line."""
_SIGNS = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
_WORDS = re.compile(rb"[A-Za-z0-9]")
_BEGINS = re.compile(rb'(?=\{\s*"jsonrpc"\s*:)')


def decode(line: bytes, reader: LenientReader | None = None) -> Other | AgentResponse:
    """Decode one message of an agent, whatever it holds. `reader`: that of the stream."""
    if (update := _sound_update(line)) is not None:
        return update
    reader = reader or LenientReader()
    frame = reader.read(line, _Frame)
    if frame is None:
        return Garbage(line[:200].decode(errors="replace"))
    if frame.method and given(frame.id):
        return Request(frame.id.copy(), frame.method, frame.params.copy())
    if frame.method == "session/update":
        return reader.read(frame.params, Updated) or _strange(frame.params)
    if frame.method:
        return Notification(frame.method, frame.params.copy())
    return _answer(frame) or Garbage(line[:200].decode(errors="replace"))


def _sound_update(line: bytes) -> Updated | None:
    # Most lines by far; a crowded one would be read before its bounds are looked at.
    if len(line) > CROWDED and too_many(line):
        return None
    try:
        return _update.decode(line).params
    except BAD:
        return None


def messages_in(line: bytes, reader: LenientReader) -> list[bytes]:
    """The messages of a line that is none: of a batch, or of several without an end of line between them.

    What stands before the first may be signs of a terminal, but no words: they are a log, which may quote messages.
    """
    line = reader.mended(line)
    if line.startswith(b"["):
        return [bytes(each) for each in items(line, BATCH_MAX)]
    first, *pieces = _BEGINS.split(line, BATCH_MAX)
    if first.startswith(b"{"):
        pieces = [first, *pieces]
    elif _WORDS.search(_SIGNS.sub(b"", first)):
        return []
    return pieces if len(pieces) > 1 or first else []


def _answer(frame: _Frame) -> AgentResponse | None:
    number = number_or_text(frame.id)
    told = bytes(frame.result) or given(frame.error)
    if not (given(frame.jsonrpc) and (told or number is not None)) and not (told and bytes(frame.id)):
        return None  # the line of a log that is written in JSON
    if given(frame.error):
        return Response(number, error=call_failed(frame.error))
    return Response(number, frame.result.copy())


def _strange(params: Raw) -> Strange:
    loose = read(params, _Loose) or _Loose()
    kind = loose.update.kind if loose.update else ""
    return Strange(kind or "session/update", params.copy(), loose.session)
