"""Tables on terminals of every width, and as fields in a pipe."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.client.terminal_text import clean, fit_middle, width, wrap
from agent.frontends.cli import audit, backends, options, peers, sessions, trust
from agent.frontends.cli.output import Printer
from agent.frontends.cli.table import Below, Cell, Column, Heading, Row, Table
from agent.protocol.audit import AuditEntry
from agent.protocol.backends import BackendRow
from agent.protocol.messages import PairedRow
from agent.protocol.model import DeviceId, DeviceRow, ParticipantRef, SessionId, SessionRow, Status
from tests.frontends.gateway import DESK, HERE, NOW, THERE, device, session

QUESTION = "Run `rm -rf build && make deploy TARGET=production`? It cannot be undone"
GOLDEN = Path(__file__).parent / "golden"


def printer(columns: int | None) -> Printer:
    """A printer on a terminal of so many columns, without colours; or in a pipe."""
    made = Printer(environ={"COLUMNS": str(columns), "NO_COLOR": "1"})
    made.tty = columns is not None
    made.now = lambda: NOW + 100.0  # type: ignore[method-assign]
    return made


def rows() -> list[dict[str, Any]]:
    made = [
        session(HERE, "Deploy the site", status=Status.NEEDS_INPUT, cwd="/srv/site", question=QUESTION),
        session(
            SessionId("a9d2aaaaaaaaaaaa"),
            "fix the parser so that it reads every kind of stream",
            status=Status.WORKING,
            backend="codex",
            cwd="/home/ada/src/lan-agent/agent/adapters",
            short_cwd="~/src/lan-agent/agent/adapters",
            queued=2,
            participants=(ParticipantRef("desk", 2),),
            local=True,
        ),
        session(SessionId("b9d2aaaaaaaaaaaa"), "日本語のタイトル 👩", share="private", backend="claude", local=True),
        session(THERE, "", stale=True, share="read-only"),
    ]
    return [msgspec.to_builtins(row) for row in made]


@pytest.mark.parametrize("columns", [60, 100, 200])
def test_sessions_at_three_widths(columns: int) -> None:
    shown = (GOLDEN / f"sessions_{columns}.txt").read_text(encoding="utf-8")
    assert "\n".join(sessions.lines(rows(), printer(columns))) + "\n" == shown


LONG = "offline since yesterday, and the cable was pulled by somebody who did not say why"


def test_devices_at_three_widths() -> None:
    listed = [
        msgspec.to_builtins(row)
        for row in (
            device(),
            device(DESK, "desk", working=1, needs_input=1, sessions=3),
            device(DeviceId("strangeraaaaaaaa"), "1aptop " * 8, paired=False, state="offline", reason=LONG),
            device(DeviceId("strangerbbbbbbbb"), "Iaptop", paired=False),
        )
    ]
    told = {columns: peers.lines(listed, printer(columns)) for columns in (60, 100, 200)}
    assert [lines[0].split() for lines in told.values()] == [
        ["NAME", "STATE", "SESSIONS"],
        ["NAME", "STATE", "SESSIONS", "ADDRESS", "HEARD"],
        ["NAME", "STATE", "SESSIONS", "ADDRESS", "HEARD"],
    ]
    for lines in told.values():
        assert lines[1].startswith("laptop (this device)")
        assert lines[-1] == "  ⚠ looks like another name"  # no name is so long that it hides this
        assert "offline, not paired" in lines[3]


def test_a_narrow_terminal_shows_the_essential_words_whole() -> None:
    listed = [
        msgspec.to_builtins(row)
        for row in (
            device(name="fdesk", sessions=6, needs_input=1),
            device(DESK, "fguest", paired=False, state="offline", since="2026-01-01T00:00:00Z"),
        )
    ]
    shown = "\n".join(peers.lines(listed, printer(60)))
    assert "6 (1 needs input)" in shown
    assert "offline, not paired" in shown
    assert "…" not in shown
    guest = {"self": False, "name": "fguest", "id": DESK, "role": "guest", "state": "offline", "paired_at": None,
             "seen_at": None, "expires_at": "2026-12-01T14:30:00Z"}  # fmt: skip
    assert re.search(
        r"guest, until 1[12]-\d\d \d\d:\d\d( |$)",
        "\n".join(trust.TABLE.lines(printer(60), [trust._cells(guest, printer(60))])),
    )


def test_what_people_type_is_the_last_to_go() -> None:
    for columns in (30, 40, 60):
        lines = sessions.lines(rows(), printer(columns))
        assert [line.split()[-1] for line in lines if "…" in line and "?" not in line] == ["a9d2"]
        assert "Deploy the site" in "\n".join(lines)


def test_a_path_is_cut_in_its_middle() -> None:
    assert fit_middle("~/src/lan-agent/agent/adapters", 14) == "~/src…adapters"
    assert fit_middle("日本語のパス/日本語", 9) == "日本…本語"
    assert [fit_middle("abc", columns) for columns in (0, 1, 2, 3)] == ["", "…", "a…", "abc"]


def test_a_growing_table_keeps_its_columns() -> None:
    entries = [
        {"at": "2027-01-15T08:00:00Z", "name": "desk", "device": DESK, "action": action, "session": HERE}
        for action in ("prompted", "attached")
    ]
    terminal = printer(120)
    head, first = audit.GROWING.lines(terminal, [["2027-01-15 08:00:00", *audit._cells(entries[0], terminal)[1:]]])
    (second,) = audit.GROWING.lines(
        terminal, [["2027-01-15 08:00:00", *audit._cells(entries[1], terminal)[1:]]], head=False
    )
    assert first.index("prompted") == second.index("attached") == head.index("DID")


def test_a_pipe_has_neither_head_nor_headings_and_every_row_as_many_tabs() -> None:
    piped = sessions.lines(rows(), printer(None))
    assert [line.split("\t")[0] for line in piped] == ["working", "idle", "needs-input", "idle"]
    assert {line.count("\t") for line in piped} == {12}
    fields = piped[0].split("\t")
    assert fields == [
        "working", "fix the parser so that it reads every kind of stream", "desk", "codex", "2027-01-15T08:00:00Z",
        "a9d2aaaaaaaaaaaa", "here", "2", "", "2", "/home/ada/src/lan-agent/agent/adapters", "", "",
    ]  # fmt: skip
    assert piped[2].endswith(f"\t{QUESTION}\t")


def test_what_runs_is_a_column_and_what_to_know_of_it_stands_below() -> None:
    listed = [
        session(HERE, "Build", program="zsh 5.9", screen="vim"),
        session(THERE, "Far", program="dash: ends of commands are guessed"),
    ]
    lines = sessions.lines([msgspec.to_builtins(row) for row in listed], printer(100))
    assert lines[0].split() == ["STATUS", "TITLE", "DEVICE", "BACKEND", "PROGRAM", "UPDATED", "ID"]
    assert "  shell    zsh 5.9  " in lines[1]
    assert (lines[2], lines[-1]) == ("  vim is on the screen", "  ends of commands are guessed")
    piped = sessions.lines([msgspec.to_builtins(row) for row in listed], printer(None))
    assert [line.split("\t")[-1] for line in piped] == ["zsh 5.9", "dash: ends of commands are guessed"]


def test_rows_of_an_older_service_are_listed() -> None:
    late = ("participants", "queued", "cwd", "lineage", "stale", "away", "share", "untitled", "short_cwd", "question",
            "program", "screen")  # fmt: skip
    old = [{name: value for name, value in row.items() if name not in late} for row in rows()]
    assert [line.split()[-1] for line in sessions.lines(old, printer(100))[1:4]] == ["a9d2", "b9d2", "s3ss"]
    assert {line.count("\t") for line in sessions.lines(old, printer(None))} == {12}


TABLES = (
    sessions.TABLE, peers.TABLE, trust.TABLE, audit.TABLE, audit.GROWING, backends.TABLE, options.OPTIONS,
    options.CHOICES,
)  # fmt: skip
TEXT = st.text(st.one_of(st.characters(), st.sampled_from("日本語👩🇩🇪한글 \t\n\u0301ab/")), max_size=90)
"""What somebody may have called it: with wide characters, marks, blanks and controls."""


def _drawn(chosen: random.Random, table: Table, texts: list[str]) -> list[Row]:
    # Rows with these texts in any of their cells.
    made: list[Row] = []
    for _ in range(chosen.randint(0, 6)):
        cells: list[Cell] = [chosen.choice([*texts, ""]) for _ in table.columns]
        made += [cells, *([Below(chosen.choice(texts))] if texts and chosen.random() < 0.3 else [])]
    return [*([Heading(chosen.choice(texts))] if texts else []), *made]


@given(st.sampled_from(TABLES), st.lists(TEXT, max_size=6), st.integers(8, 250), st.randoms(use_true_random=False))
def test_no_line_is_wider_than_the_terminal(
    table: Table, texts: list[str], columns: int, chosen: random.Random
) -> None:
    drawn = _drawn(chosen, table, texts)
    for line in table.lines(printer(columns), drawn):
        assert width(line) <= columns
        assert clean(line) == line
    piped = table.lines(printer(None), drawn)
    assert len(piped) == sum(not isinstance(row, Heading | Below) for row in drawn)
    for line in piped:
        assert line.count("\t") == len(table.columns) - 1
        assert clean(line.replace("\t", "")) == line.replace("\t", "")


@given(TEXT, st.integers(2, 40))
def test_wrapped_text_is_whole_and_fits(text: str, columns: int) -> None:
    lines = wrap(text, columns)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(width(line) <= columns for line in lines)


def test_columns_are_left_out_in_the_order_that_the_table_states() -> None:
    table = Table(Column("A", typed=True), Column("B"), Column("C"), Column("D"), left_out=("C", "B", "D"))
    row = ["a" * 10, "b" * 10, "c" * 10, "d" * 10]
    heads = [table.lines(printer(columns), [row])[0].split() for columns in (46, 45, 33, 21, 9)]
    assert heads == [["A", "B", "C", "D"], ["A", "B", "D"], ["A", "D"], ["A"], ["A"]]


PAGE = (Path(__file__).parents[3] / "docs" / "lists.md").read_text(encoding="utf-8")
PAIRED: dict[str, Any] = {
    "id": DESK,
    "name": "desk",
    "self": False,
    "paired_at": None,
    "seen_at": None,
    "state": "online",
}
BACKEND: dict[str, Any] = {"name": "a", "kind": "a", "ready": True, "default": True, "description": "", "detail": ""}
AUDIT = {"at": "", "name": "desk", "device": DESK, "action": "prompted"}


@pytest.mark.parametrize(
    ("command", "table", "struct", "piped"),
    [
        ("sessions", sessions.TABLE, SessionRow, sessions.lines(rows()[:1], printer(None))),
        ("peers", peers.TABLE, DeviceRow, peers.lines([msgspec.to_builtins(device())], printer(None))),
        ("devices", trust.TABLE, PairedRow, trust.lines([PAIRED], {}, printer(None))),
        ("backends", backends.TABLE, BackendRow, backends.lines([BACKEND], printer(None))),
        ("audit", audit.TABLE, AuditEntry, audit.TABLE.lines(printer(None), [audit._cells(AUDIT, printer(None))])),
    ],
)
def test_the_page_has_every_field_of_a_list(
    command: str, table: Table, struct: type[msgspec.Struct], piped: list[str]
) -> None:
    part = PAGE.partition(f"## `agent {command}`\n")[2].partition("\n## ")[0]
    numbers = re.findall(r"^\| (\d+) \|", part, re.MULTILINE)
    assert numbers == [str(number + 1) for number in range(piped[0].count("\t") + 1)]
    told = re.findall(r"^\| `(\w+)` \| (\S+) \|", part, re.MULTILINE)
    assert [name for name, _ in told] == list(struct.__struct_fields__)
    changelog = (Path(__file__).parents[3] / "CHANGELOG.md").read_text(encoding="utf-8")
    assert all(since in changelog for _, since in told)
    order = re.search(r"Left out first: ([^.]+)\.", part)
    assert (order[1].split(", ") if order else []) == list(table.left_out)
