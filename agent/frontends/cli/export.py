"""A transcript as a document: Markdown to read, or JSON with everything (`agent log --export`).

What others said is put where it can be taken for nothing else: a prompt is a quotation, what a tool or a shell said
stands between fences longer than any in it, and a fence that a reply leaves open is closed after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from agent.client.reading import ReplyText, answered, event_json, name_of, session_over
from agent.client.request_text import asked_line
from agent.client.terminal_text import clean, one_line, plain, session_title
from agent.client.turn_ends import turn_end
from agent.client.view import LogEntry
from agent.frontends.cli.output import as_json
from agent.protocol.events import (
    Diff,
    Event,
    MessageComplete,
    MessageDelta,
    MessageStart,
    PlanUpdate,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    ThoughtDelta,
    ToolComplete,
    ToolStart,
    TurnComplete,
    UserMessage,
)

Row = dict[str, Any]
"""The session as a list gives it; empty, if none has it."""

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_TAG = re.compile(r"(`+)(?!`)[^`]*\1(?!`)|<(?=[A-Za-z/!?])")
_DONE = {"complete": "", "interrupted": " (interrupted)", "error": " (failed)"}


def json_lines(row: Row, session: str, epoch: str, events: Iterable[Event]) -> Iterator[str]:
    """The lines of a JSON document: the session, the epoch of its log, and all events whole, one a line."""
    yield f'{{"session": {as_json(row or {"id": session})}, "epoch": {as_json(epoch)}, "events": ['
    before = ""
    for event in events:
        yield f"{before}{as_json(event_json(session, event))}"
        before = ","
    yield "]}"


def markdown_head(row: Row, session: str) -> list[str]:
    """The title of a Markdown document, and what is known of the session."""
    facts = {
        "Session": session,
        "Device": _of(row, "device", "name"),
        "Backend": _of(row, "backend"),
        "Model": _of(row, "model"),
        "Directory": _of(row, "cwd"),
        "Created": _of(row, "created_at"),
        "Updated": _of(row, "updated_at"),
    }
    told = [f"- {name}: {_inline(fact)}" for name, fact in facts.items() if fact]
    return [f"# {_inline(session_title(_of(row, 'title')))}", "", *told]


def _of(row: Row, *names: str) -> str:
    found: Any = row
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return one_line(str(found or ""))


class MarkdownTranscript:
    """Makes Markdown of the entries of a log, in order. Each block is a paragraph by itself."""

    def __init__(self, *, verbatim: bool) -> None:
        """`verbatim`: replies are output of programs, and no Markdown."""
        self._verbatim = verbatim
        self._waiting: dict[int, UserMessage] = {}  # prompts whose turn has not begun
        self._reply, self._text = ReplyText(), ""  # what was said of a reply that is not complete
        self._thought = ""
        self._tools: dict[str, ToolStart] = {}
        self._plan: PlanUpdate | None = None

    def blocks(self, entry: LogEntry) -> list[str]:
        """The blocks that one entry adds."""
        if isinstance(entry.payload, ThoughtDelta):
            self._thought += entry.payload.text
            return []
        return [*self._thoughts(), *self._speech(entry), *self._work(entry)]

    def _speech(self, entry: LogEntry) -> list[str]:
        # Prompts and replies.
        payload, at = entry.payload, clean(entry.event.at)
        match payload:
            case UserMessage(queued=True):
                self._waiting[payload.turn] = payload
            case UserMessage():
                return _prompt(payload, at)
            case MessageStart(turn=turn):
                waited = self._waiting.pop(turn, None)
                if waited is not None:
                    return _prompt(waited, at)
                return [] if turn or payload.part > 1 else [f"## Unasked · {at}"]
            case MessageDelta():
                self._text += self._reply.take(payload, merged=entry.merged)
            case MessageComplete():
                self._text = ""
                return self._said(payload.text)
            case TurnComplete():
                return self._end(payload)
            case _:
                pass
        return []

    def _work(self, entry: LogEntry) -> list[str]:
        # What is done and asked between them.
        payload = entry.payload
        match payload:
            case ToolStart():
                self._tools[payload.tool_id] = payload
            case ToolComplete():
                return _tool(self._tools.pop(payload.tool_id, None), payload)
            case PlanUpdate():
                self._plan = payload
            case RequestOpen():
                choices = "\n".join(f"- {_inline(each.name)}" for each in payload.choices)
                asked = [f"**Question:** {_inline(asked_line(payload))}", *_fenced(payload.detail)]
                return [*asked, choices] if choices else asked
            case RequestClosed(status="answered"):
                who = f" ({_inline(name_of(payload.by))})" if payload.by else ""
                return [f"**Answer{who}:** {_inline(answered(entry.closes, payload))}"]
            case SessionInfo():
                told = session_over(payload) or one_line(payload.note)
                return [f"*{_inline(told)}*"] if told else []
            case _:
                pass
        return []

    def rest(self) -> list[str]:
        """What was said so far in a turn that still runs, and prompts that wait."""
        told = [*self._thoughts(), *self._said(self._text), *self._planned()]
        return [*told, *(block for message in self._waiting.values() for block in _prompt(message, "waits"))]

    def _end(self, turn: TurnComplete) -> list[str]:
        waited = self._waiting.pop(turn.turn, None)
        told = [*(_prompt(waited, "never ran") if waited is not None else []), *self._said(self._text)]
        self._text = ""
        for tool in self._tools.values():
            told += _tool(tool, None)
        self._tools.clear()
        told += self._planned()
        shortfall = turn_end(turn).shortfall
        return [*told, *([f"*{_inline(shortfall)}*"] if shortfall else [])]

    def _said(self, text: str) -> list[str]:
        text = plain(text).strip("\n")
        if not text.strip():
            return []
        return _fenced(text) if self._verbatim else [_closed(text)]

    def _thoughts(self) -> list[str]:
        thought, self._thought = plain(self._thought).strip(), ""
        return _folded("Thoughts", _fenced(thought)) if thought else []

    def _planned(self) -> list[str]:
        plan, self._plan = self._plan, None
        if plan is None or not plan.entries:
            return []
        return ["\n".join(f"- [{'x' if e.status == 'completed' else ' '}] {_inline(e.text)}" for e in plan.entries)]


def _prompt(message: UserMessage, at: str) -> list[str]:
    lines = plain(message.text).strip("\n").split("\n")
    return [f"## {_inline(name_of(message.sender))} · {at}", "\n".join(f"> {line}".rstrip() for line in lines)]


def _tool(start: ToolStart | None, done: ToolComplete | None) -> list[str]:
    title = one_line(start.title if start else "") or "tool"
    end = "" if done is not None and done.status == "complete" else _DONE[done.status if done else "interrupted"]
    diffs = [block for diff in (done.diffs if done else ()) for block in _diff(diff)]
    inside = [*_fenced(start.input if start else ""), *_fenced(done.output if done else ""), *diffs]
    return _folded(f"Tool: {title}{end}", inside)


def _diff(diff: Diff) -> list[str]:
    return [f"{_inline(one_line(diff.path))}:", *_fenced(diff.patch, "diff")]


def _folded(summary: str, inside: list[str]) -> list[str]:
    if not inside:
        return [f"*{_inline(summary)}*"]
    return [f"<details><summary>{escape(clean(summary))}</summary>", *inside, "</details>"]


def _fenced(text: str, language: str = "") -> list[str]:
    text = plain(text).strip("\n")
    if not text:
        return []
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return [f"{fence}{language}\n{text}\n{fence}"]


def _closed(text: str) -> str:
    # Markdown of an agent. A fence that it leaves open would swallow all that follows, and so would `<!--`.
    told: list[str] = []
    between: list[str] = []  # lines outside of fences
    fence = ""
    for line in text.split("\n"):
        found = _FENCE.match(line)
        if not fence and found is None:
            between.append(line)
            continue
        if found is not None and not fence:
            told += [*_without_tags(between), line]
            between, fence = [], found.group(1)
            continue
        told.append(line)
        if line.strip().startswith(fence) and set(line.strip()) == {fence[0]}:
            fence = ""
    return "\n".join([*told, *_without_tags(between), *([fence] if fence else [])])


def _without_tags(lines: list[str]) -> list[str]:
    # In a code span nothing is a tag.
    return [_TAG.sub(lambda found: found.group() if found.group(1) else "&lt;", "\n".join(lines))] if lines else []


def _inline(text: str) -> str:
    # One line in which nothing is markup.
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", clean(text, 4096)).strip()
