"""What a program says is shown by every front end, whatever stands around it and however it comes in pieces (T10)."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.client.terminal_text import TerminalText, plain
from agent.client.view import LogEntry
from agent.frontends.cli.output import Printer
from agent.frontends.cli.screen import SplitScreen
from agent.frontends.cli.transcript import TranscriptPrinter
from agent.frontends.editors.updates import EditorUpdates
from agent.frontends.hermes_ui.event_mapping import EventMapping
from agent.frontends.hermes_ui.session_info import info_of
from agent.protocol.control_sequences import without_sequences
from agent.protocol.events import (
    MessageComplete,
    MessageDelta,
    MessageStart,
    Payload,
    ToolComplete,
    ToolStart,
    TurnComplete,
    make_event,
)
from agent.protocol.terminal_lines import TerminalLines
from tests.frontends.conftest import Agent
from tests.frontends.gateway import HERE, NOW, FakeGateway, session
from tests.protocol.test_control_sequences import STRAY, VALID, chunks, cuts, output

words = st.lists(st.sampled_from(["one", "two", "žluť", "漢字", "$HOME", "[31m", "]0;x"]), min_size=1, max_size=6)
noise = st.sampled_from([*VALID, *STRAY])
COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def test_several_returns_begin_one_line_however_they_are_cut() -> None:
    for pieces in (["one\r\rtwo\r\r\nend"], [*"one\r\rtwo\r\r\nend"]):
        text = TerminalText(color=False)
        assert "".join(map(text.feed, pieces)) + text.end() == "one\ntwo\nend"


def printable(text: str) -> str:
    """What of the text is to be read: all but its sequences, controls and blanks."""
    return "".join(plain(without_sequences(text)).split())


@given(output, cuts, st.booleans())
def test_every_printable_character_is_shown_and_nothing_that_moves_a_cursor(
    text: str, sizes: list[int], color: bool
) -> None:
    whole = TerminalText(color=color)
    shown = "".join(whole.feed(piece) for piece in chunks(text, sizes)) + whole.end()
    left = COLOUR.sub("", shown)
    assert "".join(left.split()) == printable(text)
    assert not OBEYED.search(left)
    once = TerminalText(color=color)
    assert shown == once.feed(text) + once.end()


@given(words, st.lists(noise, min_size=6, max_size=6), cuts)
def test_words_on_lines_of_their_own_are_all_shown(said: list[str], between: list[str], sizes: list[int]) -> None:
    text = "".join(f"{word}{stray}\n" for word, stray in zip(said, between, strict=False))
    whole = TerminalText(color=False)
    shown = "".join(whole.feed(piece) for piece in chunks(text, sizes)) + whole.end()
    terminal = TerminalLines(24, 80, colours=False)
    data = text.replace("\n", "\r\n").encode(errors="replace")
    for at in range(0, len(data), sizes[0]):
        terminal.feed(data[at : at + sizes[0]])
    written = terminal.end()
    lines, rows = iter(shown.split("\n")), iter(written.split("\n"))
    assert all(any(line.startswith(word) for line in lines) for word in said)
    overwrites = {"\r", "\b", "\x1bc", "\x1bM"}  # a terminal writes over what stands there
    if not overwrites & set(between):
        assert all(any(row.startswith(word) for row in rows) for word in said)


def payloads(text: str, sizes: list[int]) -> list[Payload]:
    """A reply in pieces, and a tool that said the same."""
    deltas = [MessageDelta(turn=1, text=piece) for piece in chunks(text, sizes)]
    return [
        MessageStart(turn=1), *deltas, MessageComplete(turn=1, text=text, status="complete"),
        ToolStart(turn=1, tool_id="t", title="make"),
        ToolComplete(turn=1, tool_id="t", status="complete", output=text),
        TurnComplete(turn=1, status="complete"),
    ]  # fmt: skip


def entries(text: str, sizes: list[int]) -> list[LogEntry]:
    return [LogEntry(make_event(n, each, NOW), each) for n, each in enumerate(payloads(text, sizes), 1)]


def by_editors(text: str, sizes: list[int]) -> tuple[str, str]:
    updates_of = EditorUpdates("")
    updates: list[Any] = [update for entry in entries(text, sizes) for update in updates_of.take(entry)]
    reply = "".join(each.content.text for each in updates if type(each).__name__ == "AgentChunk")
    tools = [each for each in updates if type(each).__name__ == "EditorToolCallUpdate"]
    return reply, "".join(part.content.text for each in tools for part in each.content)


def by_hermes_ui(text: str, sizes: list[int]) -> tuple[str, str]:
    mapping = EventMapping(info_of(session()), local=True, verbatim=False)
    frames: list[Any] = [frame for entry in entries(text, sizes) for frame in mapping.take(entry)]
    reply = "".join(str(frame.payload["text"]) for frame in frames if frame.type == "message.delta" and frame.payload)
    tools = [frame.payload for frame in frames if frame.type == "tool.complete" and frame.payload]
    return reply, tools[0]["result"]["output"]


def by_transcript(text: str, sizes: list[int]) -> tuple[str, str]:
    printer = Printer(environ={})
    printer.out = io.StringIO()
    transcript = TranscriptPrinter(SplitScreen(printer, lively=False))
    shown = []
    for entry in entries(text, sizes):
        transcript.show(entry)
        shown.append(printer.out.getvalue())
        printer.out = io.StringIO()
    tool = "".join(shown[-2:]).replace("-- done", "")
    return "".join(shown[:-3]), tool


@pytest.mark.parametrize("front_end", [by_editors, by_hermes_ui, by_transcript])
@pytest.mark.parametrize("stray", STRAY)
def test_each_front_end_shows_what_follows(front_end: Any, stray: str) -> None:
    text = f"one\n{stray.replace(chr(0xD800), '?')}\ntwo\nthree"
    for sizes in ([1], [3], [1000]):
        reply, tool = front_end(text, sizes)
        assert printable(reply) == printable(text)
        assert printable(text) in printable(tool)
        assert "\x1b" not in reply + tool


def test_agent_prompt_shows_what_follows_a_stray_escape(gateway: FakeGateway, agent: Agent) -> None:
    assert agent("prompt", HERE, "echo", "one\n\x1b\x1ctwo\nthree").out == "one\ntwo\nthree\n"
    assert agent("prompt", HERE, "echo", "one\x1b[3").out == "one[3\n"
    assert "\ntwo\nthree\n" in agent("log", HERE).out
