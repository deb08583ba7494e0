"""Tools that an agent uses, as its updates tell of them: upserted by id, ended once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct

from agent.adapters.backends.acp.diffs import diff_of
from agent.adapters.backends.acp.schema import ABSENT, AgentToolCall, Content, Place, given
from agent.ports import BackendEvent, ToolFinished, ToolProgressed, ToolStarted
from agent.protocol.bounds import Many, Table, Words
from agent.protocol.events import LOCATIONS_MAX, TEXT_MAX, Diff, Location, TurnStatus
from agent.protocol.excerpts import Excerpt, left_out, shortened
from agent.protocol.lenient import read

TOOLS_MAX = 256
"""Tools that are known: those that have ended are forgotten first, then the oldest."""
ID_MAX = 128
DIFFS_MAX = 32

_ENDS: dict[str, TurnStatus] = {"completed": "complete", "failed": "error", "cancelled": "interrupted"}


class _Content(Struct):
    type: Words = ""
    content: Content | None = None
    path: Words = ""
    old: Words | None = msgspec.field(default=None, name="oldText")
    new: Words | None = msgspec.field(default=None, name="newText")


class _Resource(Struct):
    uri: Words = ""
    mime: Words = msgspec.field(default="", name="mimeType")
    text: Words | None = None  # else it is a `blob`


class _Delta(Struct):
    data: Words = ""


class _Meta(Struct):
    output: _Delta | None = msgspec.field(default=None, name="terminal_output_delta")


class _Output(Struct):
    """What agents put into `rawOutput`, best first."""

    formatted_output: Words | None = None  # codex
    aggregated_output: Words | None = None
    output: Words | None = None  # opencode
    error: Words | None = None
    stdout: Words | None = None


class _Input(Struct):
    command: Words | Many[Words] | None = None


class _Folder(Struct):
    """Where a command runs, by the names that agents have for it."""

    cwd: Words | None = None
    workdir: Words | None = None


class _Named(Struct):
    name: Words | None = msgspec.field(default=None, name="toolName")


class Shown(Struct):
    """What a tool call has to show: text, and changes of files."""

    text: Words = ""
    diffs: tuple[Diff, ...] = ()


class ToolFacts(Struct):
    """What an agent has told of a tool call beside its title and output."""

    kind: str = ""
    name: str = ""  # as the agent calls the tool
    cwd: str = ""
    locations: tuple[Location, ...] = ()


class _Tool(ToolFacts):
    title: str = ""
    text: str = ""  # of `content`, as it was told last, shortened
    told: int = 0  # characters of it that were told
    told_hash: int = 0  # what they were
    streamed: Excerpt | None = None  # output that came in pieces
    diffs: tuple[Diff, ...] = ()
    over: bool = False

    @property
    def all_streamed(self) -> str:
        """The output that came in pieces."""
        return self.streamed.text if self.streamed else ""

    def more(self, text: str) -> str:
        """What a whole text adds to what was told of it; all of it, if it is another one."""
        goes_on = len(text) >= self.told and hash(text[: self.told]) == self.told_hash
        added = text[self.told :] if goes_on or not self.told else text
        self.text, self.told, self.told_hash = shortened(text, TEXT_MAX), len(text), hash(text)
        return added


class ToolTracker:
    """The tools that one agent uses, by their ids."""

    def __init__(self) -> None:
        self._tools: dict[str, _Tool] = {}

    @property
    def running(self) -> bool:
        """Whether a tool has begun and not ended."""
        return any(not tool.over for tool in self._tools.values())

    def take(self, call: AgentToolCall, *, anew: bool) -> list[BackendEvent]:
        """The events that an update means. `anew`: it is a `tool_call`, whose id may have been used before."""
        tool_id = short_id(call.id)
        tool = self._tools.get(tool_id)
        events: list[BackendEvent] = []
        if tool is None or (anew and tool.over):
            tool = self._begin(tool_id, call, events)
        events += self._progress(tool_id, tool, call)
        status = _ENDS.get(call.status or "")
        if status is not None and not tool.over:
            tool.over = True
            output = tool.text or text_of_output(call.raw_output) or tool.all_streamed
            output = shortened(output, TEXT_MAX)
            events.append(ToolFinished(tool_id=tool_id, status=status, output=output, diffs=tool.diffs))
            tool.text = ""
            tool.told = 0
            tool.streamed = None
            tool.diffs = ()
        return events

    def facts(self, call_id: str) -> ToolFacts:
        """What is known of a tool call, for a question about it; nothing, if none of that id was heard of."""
        return self._tools.get(short_id(call_id)) or ToolFacts()

    def end(self, status: TurnStatus) -> list[BackendEvent]:
        """The events that end all running tools, as the turn was stopped."""
        events: list[BackendEvent] = []
        for tool_id, tool in self._tools.items():
            if not tool.over:
                tool.over = True
                output = tool.text or tool.all_streamed
                events.append(ToolFinished(tool_id=tool_id, status=status, output=output, diffs=tool.diffs))
        return events

    def _begin(self, tool_id: str, call: AgentToolCall, events: list[BackendEvent]) -> _Tool:
        self._tools.pop(tool_id, None)
        if len(self._tools) >= TOOLS_MAX:
            over = next((known for known, each in self._tools.items() if each.over), None)
            del self._tools[over if over is not None else next(iter(self._tools))]
        told = facts_of(call.kind, call.raw_input, call.locations, call.tool_name, call.meta)
        tool = self._tools[tool_id] = _Tool(told.kind, told.name, told.cwd, told.locations)
        tool.title = call.title or call.kind or "tool"
        given_input = text_of_input(call.raw_input, beside=shown_of(call.content or ()).diffs)
        events.append(
            ToolStarted(
                tool_id=tool_id,
                title=tool.title,
                tool=tool.kind,
                input=given_input,
                tool_name=tool.name,
                locations=tool.locations,
            )
        )
        return tool

    def _progress(self, tool_id: str, tool: _Tool, call: AgentToolCall) -> list[BackendEvent]:
        title = "" if call.title is None or call.title == tool.title else call.title
        tool.title = title or tool.title
        more = ""
        diffs: tuple[Diff, ...] = ()
        if call.content is not None:  # all of it, not more of it
            shown = shown_of(call.content)
            more = tool.more(shown.text)
            diffs = () if shown.diffs == tool.diffs else shown.diffs
            tool.diffs = shown.diffs
        if piece := streamed_of(call.meta):
            tool.streamed = tool.streamed or Excerpt(TEXT_MAX)
            tool.streamed.add(piece)
            more += piece
        locations = self._located(tool, call)
        ends = call.status in _ENDS and not tool.over
        if ends:
            more, diffs = "", ()
        if not (more or diffs or title or locations):
            return []
        return [ToolProgressed(tool_id=tool_id, text=more, title=title, diffs=diffs, locations=locations)]

    def _located(self, tool: _Tool, call: AgentToolCall) -> tuple[Location, ...]:
        told = facts_of(call.kind, call.raw_input, call.locations, call.tool_name, call.meta)
        tool.cwd = told.cwd or tool.cwd
        new = told.locations if told.locations != tool.locations else ()
        tool.locations = told.locations or tool.locations
        return new


def short_id(text: str) -> str:
    """An id of bounded length; a long one is told by its hash, so that two stay two."""
    return text if len(text) <= ID_MAX else hashlib.sha256(text.encode(errors="replace")).hexdigest()


def facts_of(
    kind: str | None, raw_input: Raw, locations: Sequence[Place] | None, name: str | None, meta: Raw
) -> ToolFacts:
    """What a tool call tells of itself beside its title and output."""
    folder = (read(raw_input, _Folder) if given(raw_input) else None) or _Folder()
    places = (Location(path=place.path, line=max(0, place.line or 0)) for place in (locations or ())[:LOCATIONS_MAX])
    return ToolFacts(kind or "", name or _name(meta), folder.cwd or folder.workdir or "", tuple(places))


def _name(meta: Raw) -> str:
    # The protocol has no field for it: claude's agent has `_meta.claudeCode.toolName`, ours `_meta.toolName`.
    told = (read(meta, Table[Raw]) if given(meta) else None) or {}
    found = (read(each, _Named) for each in (meta, *told.values()) if bytes(each).startswith(b"{"))
    return next((each.name for each in found if each and each.name), "")


def shown_of(content: Sequence[Raw]) -> Shown:
    """The output and diffs that the `content` of a tool call shows. What does not fit is named."""
    texts: list[str] = []
    diffs: list[Diff] = []
    more = 0  # changed files beyond those
    for raw in content:
        item = read(raw, _Content)
        if item is None:
            texts.append("[content that cannot be read]")
            continue
        if item.type == "diff" and item.new is not None:
            if len(diffs) < DIFFS_MAX:
                diffs.append(diff_of(item.path, item.old, item.new))
            else:
                more += 1
        elif item.content is not None and (text := text_of(item.content)):
            texts.append(text)
    if more:
        texts.append(left_out(more, "changed files"))
    return Shown("\n".join(texts), tuple(diffs))


def text_of(block: Content) -> str:
    """Content as text: a resource below its address; what is no text is named."""
    if isinstance(block, str):
        return block
    if isinstance(block, list):
        return "".join(map(text_of, block))
    if block.type in {"text", ""}:
        return block.text
    if block.type == "resource_link":
        return f"[{block.name or 'file'}: {block.uri}]"
    found = read(block.resource, _Resource) if block.type == "resource" and given(block.resource) else None
    if found is not None and found.text is not None:
        return f"[{found.uri or 'resource'}]\n{found.text}" + ("" if found.text.endswith("\n") else "\n")
    kind, uri = (found.mime, found.uri) if found is not None else (block.mime, block.uri)
    return f"[{kind or block.type}: {uri}]" if uri else f"[{kind or block.type}]"


def streamed_of(meta: Raw) -> str:
    """Output that came in `_meta`, as some agents send it even to clients without terminals."""
    found = read(meta, _Meta)
    return found.output.data if found and found.output else ""


def text_of_output(raw: Raw) -> str:
    """The `rawOutput` of a tool call as text."""
    if not given(raw):
        return ""
    found = read(raw, Words | _Output)
    if found is None:
        return _compact(raw)
    if isinstance(found, str):
        return found
    known = (found.formatted_output, found.aggregated_output, found.output, found.error, found.stdout)
    return next((text for text in known if text), "") if any(text is not None for text in known) else _compact(raw)


def text_of_input(raw: Raw = ABSENT, *, beside: Sequence[Diff] = ()) -> str:
    """The `rawInput` of a tool call as text: the command, if it is one.

    Else JSON, unless it stands `beside` diffs: they say it better.
    """
    if not given(raw) or bytes(raw) == b"{}":
        return ""
    command = (read(raw, _Input) or _Input()).command
    if isinstance(command, list):
        return command[2] if len(command) == 3 and command[1] in {"-c", "-lc"} else " ".join(command)
    return command or ("" if beside else _compact(raw))


def _compact(raw: Raw) -> str:
    return shortened(bytes(raw).decode(errors="replace"), TEXT_MAX)
