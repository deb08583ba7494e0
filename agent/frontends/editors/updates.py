"""A session's events as updates of the Agent Client Protocol: the same for a replay and for what happens now."""

from __future__ import annotations

from collections.abc import Container, Sequence

import msgspec

from agent.client.reading import FENCE, ReplyText, answered, name_of, request_over, session_news
from agent.client.request_text import asked_line
from agent.client.terminal_text import TerminalText, clean, one_line, plain, session_title
from agent.client.turn_ends import turn_end
from agent.client.view import LogEntry
from agent.frontends.editors.incoming import Json
from agent.frontends.editors.outgoing import (
    AgentChunk,
    AvailableCommand,
    AvailableCommands,
    Content,
    DiffContent,
    EditorLocation,
    EditorPlan,
    EditorText,
    EditorThoughtChunk,
    EditorTitle,
    EditorToolCall,
    EditorToolCallUpdate,
    EditorUsage,
    EditorUserChunk,
    Entry,
    Update,
)
from agent.protocol.events import (
    Command,
    Diff,
    Location,
    MessageComplete,
    MessageDelta,
    PlanUpdate,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    ThoughtDelta,
    ToolComplete,
    ToolStart,
    ToolUpdate,
    TurnComplete,
    UserMessage,
)
from agent.protocol.excerpts import Excerpt, left_out

KINDS = frozenset({"read", "edit", "delete", "move", "search", "execute", "think", "fetch", "switch_mode", "other"})
TOOL_TEXT_MAX = 16_384
"""Characters of a running tool's output that are told, its beginning and its end: each update carries them all."""
_DONE = {"complete": "completed", "interrupted": "failed", "error": "failed"}


class _Tool:
    def __init__(self, wire_id: str, title: str) -> None:
        self.wire_id = wire_id
        self.title = title
        self.output = Excerpt(TOOL_TEXT_MAX)
        self.diffs: tuple[Diff, ...] = ()


class EditorUpdates:
    """Turns the entries of a session's log, in their order, into updates for an editor.

    `own` is this device: its prompts carry no name. `where` stands before the title of a session of another one.
    """

    def __init__(self, own: str, *, verbatim: bool = False, where: str = "") -> None:
        self._own = own
        self._verbatim = verbatim
        self._where = where
        self._reply, self._thought = ReplyText(), ReplyText()
        self._filter = TerminalText(color=False)
        self._waiting: dict[int, UserMessage] = {}  # queued prompts, by turn; those of others are shown when it begins
        self._tools: dict[str, _Tool] = {}
        self._message = ""  # id of the fenced message, while its fence is open
        self._in_line = False  # whether what was said last needs an end of its line
        self._asked: dict[str, RequestOpen] = {}  # open requests that the editor was shown
        self._mine: set[int] = set()  # turns whose failure the editor is told as the answer to its prompt
        self._notes = 0

    def take(  # noqa: PLR0911 - one case an event type
        self, entry: LogEntry, *, skip: Container[str] = ()
    ) -> list[Update]:
        """What one entry of the log means to an editor; `skip`: ids of prompts that the editor shows itself.

        An entry that this version does not know means nothing.
        """
        payload = entry.payload
        begun = [] if isinstance(payload, UserMessage | TurnComplete) else self._begin(getattr(payload, "turn", 0))
        match payload:
            case UserMessage():
                return self._prompted(payload, own=payload.prompt_id in skip)
            case MessageDelta():
                new = self._filter.feed(self._reply.take(payload, merged=entry.merged))
                return [*begun, *self._text(payload.turn, payload.part, new)]
            case MessageComplete():
                new = self._filter.feed(self._reply.take(payload)) + self._filter.end()
                return [*begun, *self._text(payload.turn, payload.part, new), *self._unfenced()]
            case ThoughtDelta():
                new = self._thought.take(payload, merged=entry.merged)
                return [*begun, *self._thinks(payload.turn, payload.part, new)]
            case ToolStart() | ToolUpdate() | ToolComplete():
                return [*begun, *self._unfenced(), self._tool(payload, merged=entry.merged)]
            case PlanUpdate():
                return [*begun, *self._unfenced(), _plan(payload)]
            case RequestOpen() | RequestClosed():
                return [*begun, *self._unfenced(), self._request(payload)]
            case TurnComplete():
                return self._over(payload)
            case SessionInfo():
                return self._info(payload, past=entry.merged)
            case _:
                return begun  # the start of a reply, or of no meaning to an editor

    def note(self, text: str) -> list[Update]:
        """The updates that tell a line beside what the session says."""
        self._notes += 1
        said = AgentChunk(content=EditorText(f"[{clean(text, 4096)}]\n\n"), message_id=f"note-{self._notes}")
        return [*self._unfenced(), said]

    # --- text --------------------------------------------------------------------------------------------------------

    def _prompted(self, message: UserMessage, *, own: bool) -> list[Update]:
        if own:
            self._mine.add(message.turn)
        if message.queued:
            self._waiting[message.turn] = message
        return [] if own or message.queued else [*self._unfenced(), self._said(message)]

    def _begin(self, turn: int) -> list[Update]:
        said = self._waiting.pop(turn, None)
        return [] if said is None or turn in self._mine else [*self._unfenced(), self._said(said)]

    def _said(self, message: UserMessage) -> Update:
        name = "" if message.sender.device == self._own else f"[{name_of(message.sender)}] "
        return EditorUserChunk(content=EditorText(name + plain(message.text)), message_id=f"user-{message.turn}")

    def _text(self, turn: int, part: int, shown: str) -> list[Update]:
        if not shown:
            return []
        message = f"reply-{turn}-{part}"
        if self._verbatim and not self._message:
            self._message, shown = message, f"{FENCE}\n{shown}"
        self._in_line = not shown.endswith("\n")
        return [AgentChunk(content=EditorText(shown), message_id=message)]

    def _thinks(self, turn: int, part: int, text: str) -> list[Update]:
        shown = plain(text)
        if not shown:
            return []
        return [*self._unfenced(), EditorThoughtChunk(content=EditorText(shown), message_id=f"thought-{turn}-{part}")]

    def _unfenced(self) -> list[Update]:
        message, self._message = self._message, ""
        end = f"\n{FENCE}\n" if self._in_line else f"{FENCE}\n"
        return [AgentChunk(content=EditorText(end), message_id=message)] if message else []

    # --- tools and questions -----------------------------------------------------------------------------------------

    def _tool(self, payload: ToolStart | ToolUpdate | ToolComplete, *, merged: bool) -> Update:
        tool = self._tools.get(payload.tool_id)
        if isinstance(payload, ToolStart):
            tool = self._tools[payload.tool_id] = _Tool(f"{payload.turn}-{payload.tool_id}", one_line(payload.title))
            kind = payload.tool if payload.tool in KINDS else "other"
            call = EditorToolCall(
                tool_call_id=tool.wire_id,
                title=tool.title,
                kind=kind,
                status="in_progress",
                locations=located(payload.locations),
                meta=named(payload.tool_name),
            )
            return _with_input(call, payload.input)
        known = tool is not None
        if tool is None:
            tool = self._tools[payload.tool_id] = _Tool(f"{payload.turn}-{payload.tool_id}", payload.tool_id)
        title = one_line(payload.title) if isinstance(payload, ToolUpdate) and payload.title else ""
        tool.title = title or tool.title
        tool.diffs = payload.diffs or tool.diffs
        if isinstance(payload, ToolComplete):
            status, text = _DONE[payload.status], payload.output or tool.output.text
            self._tools.pop(payload.tool_id, None)
        else:
            status = "in_progress"
            if merged and payload.text.startswith(tool.output.head):
                tool.output = Excerpt(TOOL_TEXT_MAX)
            tool.output.add(payload.text)
            text = tool.output.text
        content, at = _content(text, tool.diffs), located(payload.locations)
        if not known:  # what began before the log that there is
            return EditorToolCall(
                tool_call_id=tool.wire_id, title=tool.title, status=status, content=content, locations=at
            )
        return EditorToolCallUpdate(
            tool_call_id=tool.wire_id, title=title, status=status, content=content, locations=at
        )

    def _request(self, payload: RequestOpen | RequestClosed) -> Update:
        wire_id = request_tool(payload.request_id)
        if isinstance(payload, RequestOpen):
            self._asked[payload.request_id] = payload
            return EditorToolCall(
                tool_call_id=wire_id,
                title=asked_line(payload),
                kind=payload.tool if payload.tool in KINDS else "other",
                content=_content(subject(payload), ()),
                locations=located(payload.locations),
                meta=named(payload.tool_name),
            )
        request = self._asked.pop(payload.request_id, None)
        content = _content(_answered(payload, request), ())
        status = "completed" if payload.status == "answered" else "failed"
        if request is None:
            return EditorToolCall(tool_call_id=wire_id, title="A question", status=status, content=content)
        return EditorToolCallUpdate(tool_call_id=wire_id, status=status, content=content)

    # --- the session -------------------------------------------------------------------------------------------------

    def _over(self, turn: TurnComplete) -> list[Update]:
        if turn.turn not in self._waiting:
            return [*self._unfenced(), *self._done(turn)]
        # It never began: another turn may run, of which nothing is over.
        begun, end = self._begin(turn.turn), turn_end(turn)
        if turn.withdrawn_by is not None:  # nobody has seen it here, or who has cancelled it
            taken = turn.turn in self._mine and turn.withdrawn_by.device != self._own
            return self.note(end.line) if taken else []
        told_as_answer = end.stop is None and turn.turn in self._mine
        return begun if told_as_answer else [*begun, *self.note(end.line)]

    def _done(self, turn: TurnComplete) -> list[Update]:
        shown: list[Update] = []
        self._tools.clear()
        end = turn_end(turn)
        told_as_answer = end.stop is None and turn.turn in self._mine
        if end.shortfall and not told_as_answer:
            shown += self.note(end.shortfall)
        usage = turn.usage
        if usage is not None and usage.size:
            cost: dict[str, object] | None = None
            if usage.currency:
                cost = {"amount": usage.cost, "currency": usage.currency}
            shown.append(EditorUsage(used=usage.used, size=usage.size, cost=cost))
        return shown

    def _info(self, info: SessionInfo, *, past: bool) -> list[Update]:
        # Options are told by whoever keeps them: they are needed in results, too.
        shown: list[Update] = []
        if info.title is not None:
            shown.append(EditorTitle(title=self._where + session_title(info.title)))
        if info.commands is not None:
            shown.append(commands_of(info.commands))
        news = session_news(info, past=past)
        if news:
            shown += self.note(news)
        return shown


def request_tool(request_id: str) -> str:
    """The id under which a question of the session's is shown."""
    return f"request-{request_id}"


def commands_of(commands: tuple[Command, ...]) -> AvailableCommands:
    """The update that brings the commands which the agent offers."""
    return AvailableCommands(
        available_commands=tuple(
            AvailableCommand(
                name=command.name,
                description=one_line(command.description),
                input={"hint": one_line(command.hint)} if command.hint else None,
            )
            for command in commands
        )
    )


def subject(request: RequestOpen) -> str:
    """What a request is about, as one text: the command or the diff, and where it would run."""
    return "\n".join(filter(None, (plain(request.detail), f"in {one_line(request.cwd)}" if request.cwd else "")))


def located(locations: Sequence[Location]) -> tuple[EditorLocation, ...]:
    """Places in files, as an editor opens them."""
    return tuple(EditorLocation(path=one_line(at.path), line=at.line) for at in locations)


def named(tool_name: str) -> Json | None:
    """The name of a tool, for which the protocol has no field: beside the others, as agents tell it."""
    return {"toolName": one_line(tool_name)} if tool_name else None


def _answered(closed: RequestClosed, request: RequestOpen | None) -> str:
    if closed.status == "expired":
        return request_over(request, closed)
    who = f"[{name_of(closed.by)}] " if closed.by else ""
    return who + answered(request, closed)


def _with_input(call: EditorToolCall, text: str) -> EditorToolCall:
    if not text:
        return call
    try:
        given: object = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        given = {"input": text}
    return msgspec.structs.replace(call, raw_input=given)


def _content(text: str, diffs: tuple[Diff, ...]) -> tuple[Content | DiffContent, ...]:
    shown = plain(text)
    said = (Content(EditorText(shown)),) if shown else ()
    return (*said, *(_diff(each) for each in diffs))


def _diff(diff: Diff) -> DiffContent:
    old, new = sides(diff.patch)
    if diff.cut:
        mark = left_out(diff.cut, "lines") + "\n"
        old, new = None if old is None else old + mark, new + mark
    return DiffContent(path=one_line(diff.path), old_text=old, new_text=new)


def _plan(update: PlanUpdate) -> EditorPlan:
    return EditorPlan(entries=tuple(
        Entry(content=one_line(entry.text), status=entry.status,
              priority="high" if entry.priority == "high" else "low" if entry.priority == "low" else "medium")
        for entry in update.entries
    ))  # fmt: skip


def sides(patch: str) -> tuple[str | None, str]:
    """What the hunks of a diff had before and have now; None before, for a new file.

    Only the lines of the hunks: what lies between them is not in a diff.
    """
    old: list[str] = []
    new: list[str] = []
    created = False
    for row in patch.splitlines():
        mark, text = row[:1], row[1:]
        if row.startswith("@@"):
            created = created or row.startswith("@@ -0,0 ")
        elif mark == "-":
            old.append(text)
        elif mark == "+":
            new.append(text)
        elif mark in {" ", ""}:  # some writers cut the space of an empty line
            old.append(text)
            new.append(text)
    return (None if created else _joined(old)), _joined(new)


def _joined(rows: list[str]) -> str:
    return "".join(f"{row}\n" for row in rows)
