"""Lines, patches, and updates: the parts, without a process."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from agent.adapters.backends.acp.connection import EDGE, LineSplitter, LongLine, unread
from agent.adapters.backends.acp.diffs import PATCH_MAX, diff_of
from agent.adapters.backends.acp.options import OpenAnswer, SessionOptions
from agent.adapters.backends.acp.schema import Strange, Updated, decode
from agent.adapters.backends.acp.updates import UpdateMapper
from agent.ports import BackendEvent, Described, Planned, Said, Thought, ToolFinished, ToolProgressed, ToolStarted
from agent.protocol.events import Command, Diff, Location, PlanEntry, Usage

# --- lines -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")), max_size=20), st.integers(1, 30))
def test_lines_come_out_as_they_went_in_however_they_are_cut(lines: list[bytes], cut: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    splitter = LineSplitter(most=10)
    found = [each for i in range(0, len(data), cut) for each in splitter.feed(data[i : i + cut])]
    assert [each.size if isinstance(each, LongLine) else each for each in found] == [
        len(line) if len(line) > 10 else line for line in lines if line
    ]
    assert splitter.rest() == b""


def test_of_a_line_that_is_too_long_its_ends_are_kept() -> None:
    splitter = LineSplitter(most=10_000)
    line = b"A" * 5000 + b"B" * 9000 + b"C" * 5000
    found = [each for i in range(0, len(line), 100) for each in splitter.feed(line[i : i + 100])]
    assert found == []
    assert splitter.feed(b"\nnext\n") == [LongLine(19000, b"A" * EDGE, b"C" * EDGE), b"next"]


def test_a_line_that_is_too_long_is_named_by_its_ends() -> None:
    head = b'{"params":{"update":{"sessionUpdate":"tool_call_update","toolCallId":"t1","content":[{"type":"content",'
    tail = b'"mimeType":"image/png","uri":"file:///a%20b.png"}}],"status":"failed"}},"method":"session/update"}'
    told = unread(LongLine(5_000_000, head, tail))
    assert (told.update, told.tool, told.status) == ("tool_call_update", "t1", "failed")
    assert told.what == "image/png of 5.0 MB left out: file:///a%20b.png"
    assert unread(LongLine(5_000_000, b"x" * 99, b"y" * 99)).what == "a line of 5.0 MB left out"


# --- patches ---------------------------------------------------------------------------------------------------------


def test_a_change_is_a_patch_without_file_names() -> None:
    assert diff_of("a", "1\n2\n3\n", "1\ntwo\n3\n") == Diff(path="a", patch="@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n")
    assert diff_of("a", None, "new\n").patch == "@@ -0,0 +1 @@\n+new\n"
    assert diff_of("a", "same\n", "same\n").patch == ""


def test_line_numbers_are_those_of_the_whole_file() -> None:
    before = [f"line {number}" for number in range(1, 2001)]
    after = [*before[:999], "changed", *before[1000:]]
    patch = diff_of("a", "\n".join(before), "\n".join(after)).patch
    assert patch.splitlines()[0] == "@@ -997,7 +997,7 @@"


texts = st.lists(st.sampled_from("abc"), max_size=30).map("\n".join)


@given(texts, texts)
def test_a_patch_makes_the_new_text_of_the_old(old: str, new: str) -> None:
    assert applied(old, diff_of("a", old, new).patch) == (new.removesuffix("\n").split("\n") if new else [])


def applied(old: str, patch: str) -> list[str]:
    """What `patch` makes of a text: an independent reading of the unified format."""
    lines = old.removesuffix("\n").split("\n") if old else []
    made: list[str] = []
    at = 0
    for row in patch.removesuffix("\n").split("\n") if patch else []:
        if row.startswith("@@"):
            start, _, count = row[4:].split(" ")[0].partition(",")
            begin = int(start) - 1 if count != "0" else int(start)
            made += lines[at:begin]
            at = begin
        elif row[0] == "+":
            made.append(row[1:])
        else:
            assert lines[at] == row[1:]
            made += [lines[at]] if row[0] == " " else []
            at += 1
    return made + lines[at:]


def test_what_is_too_large_is_shown_as_replaced_and_cut() -> None:
    old, new = "\n".join(f"a{i}" for i in range(30_000)), "\n".join(f"b{i}" for i in range(30_000))
    diff = diff_of("a", old, new)
    assert diff.patch.startswith("@@ -1,30000 +1,30000 @@\n-a0\n")
    assert diff.patch.endswith(f"\n\\ … {diff.cut:,} lines left out\n")
    assert (diff.added, diff.removed) == (30_000, 30_000)
    assert diff.patch.count("\n") - 1 + diff.cut == 60_001
    assert len(diff.patch) <= PATCH_MAX


# --- updates ---------------------------------------------------------------------------------------------------------


def told(*updates: dict[str, Any]) -> list[BackendEvent]:
    collected = UpdateMapper(SessionOptions())
    for update in updates:
        take(collected, update)
    return collected.events()


def take(collected: UpdateMapper, update: dict[str, Any]) -> None:
    frame = {"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": update}}
    message = decode(json.dumps(frame).encode())
    if isinstance(message, Strange):
        collected.take_strange(message)
    else:
        assert isinstance(message, Updated)
        collected.take(message.update)


def chunk(text: str, **fields: Any) -> dict[str, Any]:
    return {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}, **fields}


def thought(text: str) -> dict[str, Any]:
    return {"sessionUpdate": "agent_thought_chunk", "content": {"type": "text", "text": text}}


def content(text: str) -> dict[str, Any]:
    return {"type": "content", "content": {"type": "text", "text": text}}


def call(**fields: Any) -> dict[str, Any]:
    return {"sessionUpdate": "tool_call", "toolCallId": "t", **fields}


def more(**fields: Any) -> dict[str, Any]:
    return {"sessionUpdate": "tool_call_update", "toolCallId": "t", **fields}


def test_neighbouring_pieces_are_joined_and_kinds_kept_apart() -> None:
    assert told(chunk("a"), chunk("b"), thought("c"), thought("d"), chunk("e")) == [
        Said("ab"),
        Thought("cd"),
        Said("e"),
    ]


def test_another_message_begins_a_paragraph_unless_something_is_in_between() -> None:
    first, second = chunk("one", messageId="1"), chunk("two", messageId="2")
    assert told(first, second) == [Said("one\n\ntwo")]
    assert told(first, call(title="x"), second)[-1] == Said("two")


def test_what_is_no_text_is_named() -> None:
    link = {"type": "resource_link", "name": "notes", "uri": "file:///notes"}
    image = {"type": "image", "mimeType": "image/png", "data": "AAAA"}
    updates = ({"sessionUpdate": "agent_message_chunk", "content": each} for each in (link, image))
    assert told(*updates) == [Said("[notes: file:///notes][image/png]")]


def test_a_tool_is_begun_by_whatever_tells_of_it_first() -> None:
    assert told(more(title="ls", kind="execute", status="completed", content=[content("a.txt")])) == [
        ToolStarted(tool_id="t", title="ls", tool="execute"),
        ToolFinished(tool_id="t", status="complete", output="a.txt"),
    ]


def test_content_is_told_whole_each_time_and_only_what_is_new_is_passed_on() -> None:
    events = told(
        call(title="ls"), more(content=[content("a\n")]), more(content=[content("a\nb\n")]), more(status="in_progress"),
        more(status="failed"),
    )  # fmt: skip
    assert events[1:] == [
        ToolProgressed(tool_id="t", text="a\n"),
        ToolProgressed(tool_id="t", text="b\n"),
        ToolFinished(tool_id="t", status="error", output="a\nb\n"),
    ]


def test_output_that_comes_in_meta_is_output() -> None:
    piece = {"terminal_output_delta": {"data": "x", "terminal_id": "t"}}
    events = told(call(title="ls"), more(_meta=piece), more(_meta=piece), more(status="completed"))
    assert events[1:] == [
        ToolProgressed(tool_id="t", text="x"),
        ToolProgressed(tool_id="t", text="x"),
        ToolFinished(tool_id="t", status="complete", output="xx"),
    ]


@pytest.mark.parametrize(
    ("raw", "output"),
    [
        ("plain", "plain"),
        ({"formatted_output": "f", "stdout": "s"}, "f"),
        ({"output": "o", "metadata": {"exit": 0}}, "o"),
        ({"error": "e"}, "e"),
        ({"stdout": "", "exit_code": 0}, ""),
        ({"answer": 42}, '{"answer": 42}'),
        (None, ""),
        ([1, 2], "[1, 2]"),
    ],
)
def test_raw_output_is_read_where_there_is_no_other(raw: object, output: str) -> None:
    assert told(call(title="x"), more(status="completed", rawOutput=raw))[-1] == ToolFinished(
        tool_id="t", status="complete", output=output
    )


def test_changes_of_files_are_patches() -> None:
    edit = {"type": "diff", "path": "/a", "oldText": None, "newText": "hello\n"}
    diffs = (Diff(path="/a", patch="@@ -0,0 +1 @@\n+hello\n"),)
    raw = {"changes": {"/a": {"type": "add", "content": "hello\n"}}}  # of codex: the diff says it better
    assert told(call(title="write", rawInput=raw, content=[edit]), more(status="completed")) == [
        ToolStarted(tool_id="t", title="write"),
        ToolProgressed(tool_id="t", diffs=diffs),
        ToolFinished(tool_id="t", status="complete", diffs=diffs),
    ]


def test_what_a_tool_is_called_and_where_it_works_is_told() -> None:
    at = [{"path": "src/a.py", "line": 12}, {"path": "b.py", "line": None}, {"line": 3}, "c.py"]
    events = told(
        call(title="Edit", kind="edit", _meta={"claudeCode": {"toolName": "Edit"}}, locations=at),
        more(locations=at[:1]),
        more(locations=at[:1]),
        more(status="completed", locations=at[1:2]),
    )
    places = (Location(path="src/a.py", line=12), Location(path="b.py"))
    assert events == [
        ToolStarted(tool_id="t", title="Edit", tool="edit", tool_name="Edit", locations=places),
        ToolProgressed(tool_id="t", locations=places[:1]),
        ToolProgressed(tool_id="t", locations=places[1:]),
        ToolFinished(tool_id="t", status="complete"),
    ]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"toolName": "shell"}, "shell"),
        ({"_meta": {"toolName": "read_file"}}, "read_file"),
        ({"_meta": {"claudeCode": {"toolName": "Bash"}, "odd": 7}}, "Bash"),
        ({"_meta": {"claudeCode": {"toolName": []}}}, ""),
        ({"_meta": "odd"}, ""),
        ({"_meta": [1]}, ""),
        ({"toolName": {}, "locations": "x"}, ""),
    ],
)
def test_the_name_of_a_tool_stands_in_several_places(fields: dict[str, Any], name: str) -> None:
    assert told(call(title="x", **fields)) == [ToolStarted(tool_id="t", title="x", tool_name=name)]


def test_what_may_be_set_is_described() -> None:
    options = SessionOptions()
    mode = {"id": "ask", "name": "Ask", "description": "Ask before each edit"}
    model = {"modelId": "big", "name": "Big", "description": "Slow, and right"}
    group = {"group": "all", "name": "All", "options": [{"value": "low", "name": "Low", "description": "Fast"}]}
    config = {"id": "effort", "description": "How hard it thinks", "currentValue": "low", "options": [group]}
    options.opened(
        OpenAnswer(
            modes=raw({"currentModeId": "ask", "availableModes": [mode]}),
            models=raw({"currentModelId": "big", "availableModels": [model]}),
            config=raw([config]),
        )
    )
    effort, modes, models = options.all()
    assert (effort.description, effort.choices[0].description) == ("How hard it thinks", "Fast")
    assert modes.choices[0].description == "Ask before each edit"
    assert models.choices[0].description == "Slow, and right"


def raw(value: object) -> Raw:
    return Raw(json.dumps(value).encode())


def test_tools_that_run_when_the_turn_is_interrupted_are_interrupted() -> None:
    collected = UpdateMapper(SessionOptions())
    for update in (call(title="sleep"), more(content=[content("zz")])):
        take(collected, update)
    collected.events()
    collected.end_turn("complete")
    assert collected.events() == []  # it may go on in the background
    collected.end_turn("interrupted")
    assert collected.events() == [ToolFinished(tool_id="t", status="interrupted", output="zz")]
    take(collected, more(status="completed"))
    assert collected.events() == []  # it ended once


def test_what_an_agent_can_pile_up_is_bounded() -> None:
    collected = UpdateMapper(SessionOptions())
    for number in range(1000):
        take(collected, {"sessionUpdate": "hologram", "number": number})
    assert len(collected.events()) == 256
    for number in range(1000):
        take(collected, call(title="x") | {"toolCallId": f"call-{number}"})
    collected.events()
    collected.end_turn("interrupted")
    assert [event.tool_id for event in collected.events() if isinstance(event, ToolFinished)] == [
        f"call-{number}" for number in range(744, 1000)
    ]


def test_plans_commands_titles_and_usage() -> None:
    plan = {"sessionUpdate": "plan", "entries": [
        {"content": "think", "priority": "high", "status": "completed"},
        {"content": "act", "status": "someday"},
    ]}  # fmt: skip
    commands = {"sessionUpdate": "available_commands_update", "availableCommands": [
        {"name": "compact", "description": "Shorten", "input": {"hint": "what"}}, {"name": "init", "input": "odd"},
    ]}  # fmt: skip
    title = {"sessionUpdate": "session_info_update", "title": "Cheese"}
    assert told(plan, commands, title) == [
        Planned((PlanEntry(text="think", status="completed", priority="high"), PlanEntry(text="act"))),
        Described(commands=(Command(name="compact", description="Shorten", hint="what"), Command(name="init"))),
        Described(title="Cheese"),
    ]
    collected = UpdateMapper(SessionOptions())
    take(collected, {"sessionUpdate": "usage_update", "used": 7, "size": 100})
    take(collected, {"sessionUpdate": "usage_update", "used": None, "cost": {"amount": 0.5, "currency": "USD"}})
    assert collected.usage == Usage(used=7, size=100, cost=0.5, currency="USD")


def test_a_replay_is_dropped_but_not_what_is_so_now() -> None:
    collected = UpdateMapper(SessionOptions())
    for update in (chunk("old"), call(title="old"), {"sessionUpdate": "current_mode_update", "currentModeId": "x"}):
        frame = {"method": "session/update", "params": {"sessionId": "s", "update": update}}
        message = decode(json.dumps(frame).encode())
        assert isinstance(message, Updated)
        collected.replayed(message.update)
    assert [type(event) for event in collected.events()] == [Described]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("content", "toolCallId", "status", "title", "rawInput", "rawOutput", "_meta", "entries", "used", "cost",
          "availableCommands", "configOptions", "currentModeId", "messageId", "kind")  # fmt: skip
KINDS = ("agent_message_chunk", "agent_thought_chunk", "tool_call", "tool_call_update", "plan", "usage_update",
         "available_commands_update", "config_option_update", "current_mode_update", "session_info_update",
         "new")  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), json_values)), max_size=5))
def test_no_update_whatever_it_holds_breaks_anything(updates: list[tuple[str, dict[str, Any]]]) -> None:
    told(*({"sessionUpdate": kind, **fields} for kind, fields in updates))


@given(st.binary(max_size=60))
def test_no_line_breaks_anything(line: bytes) -> None:
    decode(line)


# --- what is cut says so ---------------------------------------------------------------------------------------------


def resource(**fields: Any) -> dict[str, Any]:
    return {"type": "content", "content": {"type": "resource", "resource": fields}}


def test_an_embedded_resource_is_shown_below_its_address() -> None:
    events = told(
        call(title="Read", content=[resource(uri="file:///a.txt", text="line 1\nline 2", mimeType="text/plain")]),
        more(status="completed", content=[resource(uri="file:///b.png", blob="AAAA", mimeType="image/png")]),
        {"sessionUpdate": "agent_message_chunk", "content": resource(uri="x:y", text="said\n")["content"]},
    )
    assert events[1] == ToolProgressed(tool_id="t", text="[file:///a.txt]\nline 1\nline 2\n")
    assert isinstance(events[2], ToolFinished)
    assert events[2].output == "[image/png: file:///b.png]"
    assert events[3] == Said("[x:y]\nsaid\n")


def test_a_tools_output_that_is_too_long_keeps_its_end() -> None:
    output = "begin\n" + "x" * 500_000 + "\nerror: no such file\n"
    for fields in ({"content": [content(output)]}, {"rawOutput": output}):
        end = told(call(title="make"), more(status="failed", **fields))[-1]
        assert isinstance(end, ToolFinished)
        assert end.output.startswith("begin\n")
        assert " characters left out\n" in end.output
        assert end.output.endswith("\nerror: no such file\n")


def test_a_tools_output_that_grows_is_told_once_however_long_it_is() -> None:
    whole = "".join(f"{number:07}\n" for number in range(40_000))
    events = told(call(title="make"), *(more(content=[content(whole[:end])]) for end in (8, 160_000, 320_000)))
    assert "".join(each.text for each in events if isinstance(each, ToolProgressed)) == whole


def test_changed_files_beyond_the_most_are_counted() -> None:
    files = [{"type": "diff", "path": f"{n}", "oldText": None, "newText": "x"} for n in range(40)]
    end = told(call(title="Edit"), more(status="completed", content=files))[-1]
    assert isinstance(end, ToolFinished)
    assert (len(end.diffs), end.output) == (32, "… 8 changed files left out")
