"""Updates of an agent, as events of a session. The one place where updates of ACP get a meaning.

Source: docs/design/acp.md, "What updates become".
"""

from __future__ import annotations

from typing import Literal, cast

import msgspec
from msgspec import Raw, Struct, structs

from agent.adapters.backends.acp.options import SessionOptions
from agent.adapters.backends.acp.schema import (
    AgentMessage,
    AgentPlan,
    AgentThought,
    AgentToolCall,
    AgentToolUpdate,
    Commands,
    ConfigChanged,
    ModeChanged,
    ReplayedPrompt,
    SessionInfoChanged,
    Strange,
    Unread,
    Update,
    UsageChanged,
)
from agent.adapters.backends.acp.tools import ToolTracker, text_of
from agent.ports import BackendEvent, Described, Planned, Said, Thought, Unknown
from agent.protocol.bounds import Amount, Table, Words
from agent.protocol.events import Command, PlanEntry, TurnStatus, Usage
from agent.protocol.lenient import read
from agent.protocol.names import clean

CHUNK = 16_384
"""Characters of one `Said` (docs/design/backends.md)."""
COMPLAINT_MAX = 500
"""Characters of an agent's own words for what went wrong."""
SAID_MAX = 1000
"""Characters of a note."""
UNKNOWN_MAX = 65_536
"""Bytes that are kept of what has no name here."""
UNKNOWN_COUNT = 256
"""How much of that is kept in a life of the service: enough to see what it is."""
_STEPS = {"pending", "in_progress", "completed"}


class _Tokens(Struct):
    total: Amount = msgspec.field(default=0, name="totalTokens")


class _Count(Struct):
    input_tokens: Amount = 0
    output_tokens: Amount = 0


class _Quota(Struct):
    token_count: _Count = msgspec.field(default_factory=_Count)


class _QuotaMeta(Struct):
    quota: _Quota = msgspec.field(default_factory=_Quota)


class _OwnError(Struct):
    message: Words = ""
    details: Words = msgspec.field(default="", name="additionalDetails")


class _OwnState(Struct):
    """What an agent tells of itself in `_meta`, under its own name."""

    error: _OwnError | Words | None = None

    @property
    def words(self) -> str:
        """The agent's own words for what went wrong."""
        if isinstance(self.error, _OwnError):
            return ": ".join(filter(None, (self.error.message, self.error.details)))
        return self.error or ""


class UpdateMapper:
    """Collects the events of one agent's updates; neighbouring pieces of text are joined."""

    def __init__(self, options: SessionOptions) -> None:
        self.tools = ToolTracker()
        self.options = options
        self.content = 0  # updates that said or did something, so far
        self.usage: Usage | None = None
        self._failed = False  # whether the agent says so of itself
        self._words = ""  # the agent's own, for what went wrong last
        self._strange = 0
        self._events: list[BackendEvent] = []
        self._texts: list[str] = []
        self._kind: type[Said | Thought] = Said
        self._message: str | None = None  # id of the message that is being said

    def take(self, update: Update) -> None:
        """Take one update; `events` then has what it means."""
        match update:
            case AgentMessage():
                self._said(update)
            case AgentThought():
                self._add(Thought, text_of(update.content))
            case AgentToolCall():  # and ToolCallUpdate, which is one
                self._do(*self.tools.take(update, anew=not isinstance(update, AgentToolUpdate)))
            case AgentPlan():
                self._do(Planned(tuple(PlanEntry(text=s.content, status=_step(s.status), priority=s.priority or "")
                                       for s in update.entries)))  # fmt: skip
            case Commands():
                known = tuple(
                    Command(name=each.name, description=each.description or "", hint=each.input.hint)
                    for each in update.commands
                )
                self._note(Described(commands=known))
            case UsageChanged():
                self._used(update)
            case SessionInfoChanged():
                self.heed(update.meta)
                self._note(Described(title=update.title) if update.title is not None else None)
            case ModeChanged():
                self._note(self.options.mode_changed(update.mode))
            case ConfigChanged():
                self._note(self.options.config_changed(update.options))
            case ReplayedPrompt():
                pass

    def take_strange(self, strange: Strange | Unread) -> None:
        """Take a message of the agent that has no name here, or that was too long to be read."""
        if isinstance(strange, Unread):
            self._take_unread(strange)
            return
        self._strange += 1
        if self._strange > UNKNOWN_COUNT:
            return
        data = bytes(strange.data)[:UNKNOWN_MAX].decode(errors="replace")
        self._note(Unknown(strange.kind, data))

    def _take_unread(self, line: Unread) -> None:
        # At its place: in its tool call, whose end may be all that is known of it, or in the reply.
        said = f"[{line.what}]"
        if line.tool and line.update in {"tool_call", "tool_call_update"}:
            content = [Raw(msgspec.json.encode({"type": "content", "content": {"type": "text", "text": said}}))]
            kind = AgentToolCall if line.update == "tool_call" else AgentToolUpdate
            self.take(kind(id=line.tool, title=line.title, status=line.status, content=content))
        elif line.update == "agent_thought_chunk":
            self._add(Thought, f"\n{said}\n")
        elif line.update == "agent_message_chunk":
            self._add(Said, f"\n{said}\n")
        elif line.update != "user_message_chunk":
            self._note(Described(note=said[:SAID_MAX]))

    def replayed(self, update: Update) -> None:
        """Take an update that may tell again what is in the log: only what is no content counts."""
        if isinstance(update, Commands | UsageChanged | SessionInfoChanged | ModeChanged | ConfigChanged):
            self.take(update)

    def events(self) -> list[BackendEvent]:
        """The events that updates have meant since the last call."""
        self._flush()
        events, self._events = self._events, []
        return events

    def end_turn(self, status: TurnStatus) -> None:
        """End the turn: if it was interrupted or failed its tools end too; else they may go on."""
        if status != "complete":
            self._flush()
            self._events += self.tools.end(status)
        self._message = None

    def begin_turn(self) -> None:
        """Forget what the agent has said of itself before."""
        self._failed, self._words = False, ""

    def heed(self, meta: Raw) -> None:
        """Take what the agent tells of itself: a state that is a failure (seen: codex), and why."""
        told = bytes(meta)
        self._failed = b'"systemError"' in told or (self._failed and b'"active"' not in told)
        words = (own.words for own in (read(meta, Table[_OwnState]) or {}).values())
        self._words = next(filter(None, words), self._words)

    @property
    def complaint(self) -> str:
        """Why the turn is a failure although the agent ends it in order, in one line; empty if it is none (S14)."""
        if not self._failed:
            return ""
        words = clean(self._words, COMPLAINT_MAX)
        return f"the agent reports an error: {words}" if words else "the agent reports an error"

    def used_by(self, usage: Raw, meta: Raw) -> None:
        """Take the tokens that an answer to a prompt tells, from agents that tell them only there."""
        if self.usage is not None:
            return
        total = (read(usage, _Tokens) or _Tokens()).total
        if not total:
            count = (read(meta, _QuotaMeta) or _QuotaMeta()).quota.token_count
            total = count.input_tokens + count.output_tokens
        if total > 0:
            self.usage = Usage(used=int(total))

    def _said(self, chunk: AgentMessage) -> None:
        text = text_of(chunk.content)
        if not text:
            return
        if chunk.message_id != self._message:
            if self._message is not None and chunk.message_id is not None:
                text = "\n\n" + text  # another message, with nothing in between that would part them
            self._message = chunk.message_id
        self._add(Said, text)

    def _add(self, kind: type[Said | Thought], text: str) -> None:
        if not text:
            return
        self.content += 1
        if kind is not self._kind:
            self._flush()
            self._kind = kind
        self._texts.append(text)

    def _do(self, *events: BackendEvent) -> None:
        self.content += 1
        self._message = None
        self._flush()
        self._events += events

    def _note(self, event: BackendEvent | None) -> None:
        if event is not None:
            self._flush()
            self._events.append(event)

    def _flush(self) -> None:
        if self._texts:
            text = "".join(self._texts)
            self._texts.clear()
            self._events += (self._kind(text[i : i + CHUNK]) for i in range(0, len(text), CHUNK))

    def _used(self, update: UsageChanged) -> None:
        before = self.usage or Usage()
        cost = update.cost
        self.usage = Usage(
            used=before.used if update.used is None else int(update.used),
            size=before.size if update.size is None else int(update.size),
            cost=before.cost if cost is None or cost.amount is None else cost.amount,
            currency=before.currency if cost is None or cost.currency is None else cost.currency,
        )


def joined(one: Described, other: Described) -> Described:
    """Two descriptions as one, with what the `other` tells instead of what the first does."""
    told = {name: value for name in one.__struct_fields__ if (value := getattr(other, name))}
    return structs.replace(one, **told)


def _step(status: str | None) -> Literal["pending", "in_progress", "completed"]:
    return cast("Literal['pending', 'in_progress', 'completed']", status) if status in _STEPS else "pending"
