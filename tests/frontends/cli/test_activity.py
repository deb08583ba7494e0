"""What agents do beside talking, as a person reads it: tools, diffs, plans, what is asked, what it cost."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from agent.client.reading import used
from agent.client.request_text import DETAIL_MAX, request_lines
from agent.client.styled_lines import DIFF_MAX, LONG, Line, diff_lines, shown
from agent.frontends.cli.activity import FIRST, LAST, RunningTools, ShownPlan, ToolOutput
from agent.protocol.events import (
    Choice,
    Diff,
    Field,
    Location,
    MessageComplete,
    MessageDelta,
    MessageStart,
    Option,
    Other,
    PlanEntry,
    PlanUpdate,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    ThoughtDelta,
    ToolComplete,
    ToolStart,
    ToolUpdate,
    TurnComplete,
    Usage,
    UserMessage,
)
from tests.frontends.cli.test_output import DANGEROUS
from tests.frontends.conftest import Agent
from tests.frontends.gateway import FakeGateway, _sender

PATCH = "@@ -1,2 +1,2 @@\n context\n-old\n+n\x1b[2Jew\n"
EDIT = Diff(path="src/a.py", patch=PATCH)
MODES = (Choice(id="ask", name="Ask first"), Choice(id="free", name="Do it"))


def texts(lines: Sequence[Line]) -> list[str]:
    return [text for text, _ in lines]


def test_a_log_shows_tools_diffs_plans_options_and_usage(gateway: FakeGateway, agent: Agent) -> None:
    mode = Option(id="mode", name="Mode", value="ask", choices=MODES, category="mode")
    gateway.emit(
        SessionInfo(options=(mode,), model="gpt-x"),
        UserMessage(turn=1, prompt_id="x", text="go", sender=_sender()),
        MessageStart(turn=1),
        MessageDelta(turn=1, text="I look"),
        ThoughtDelta(turn=1, text="\n\n"),
        ThoughtDelta(turn=1, text=" where"),
        ThoughtDelta(turn=1, text=" to begin"),
        ToolStart(turn=1, tool_id="t", title="make\x1b[2J", tool="execute", input='{"command": "make all"}'),
        ToolUpdate(turn=1, tool_id="t", text="\x1b[31mone\x1b[0m\ntw"),
        ToolUpdate(turn=1, tool_id="t", text="o\n", diffs=(EDIT,)),
        Other(turn=1, kind="strange", data="{}"),
        ToolComplete(turn=1, tool_id="t", status="error", output="one\ntwo\nthree", diffs=(EDIT,)),
        PlanUpdate(turn=1, entries=(PlanEntry(text="look", status="completed"), PlanEntry(text="mend"))),
        SessionInfo(options=(Option(id="mode", name="Mode", value="free", choices=MODES),)),
        TurnComplete(turn=1, status="complete", usage=Usage(used=7_100, size=128_000, cost=0.125, currency="USD")),
    )
    ran = agent("log", "Build")
    assert ran.out.splitlines() == [
        "[laptop] go",
        "I look",
        "  thinking: where to begin",
        "  tool: make�[2J (execute)",
        '    < {"command": "make all"}',
        "    one",
        "    two",
        "  src/a.py (+1 -1)",
        "    @@ -1,2 +1,2 @@",
        "     context",
        "    -old",
        "    +n�[2Jew",
        "    three",
        "  tool error: make�[2J",
        "  plan: 1 of 2 done",
        "    [x] look",
        "    [ ] mend",
        "-- done · 7.1k of 128.0k tokens · 0.125 USD",
    ]
    assert ran.err.splitlines() == ["-- mode: Ask first · model: gpt-x", "-- mode: Do it"]


def test_what_is_said_between_two_turns_is_marked_once_a_part(gateway: FakeGateway, agent: Agent) -> None:
    gateway.emit(
        MessageStart(turn=0),
        *(MessageDelta(turn=0, text=text) for text in ("by ", "the way")),
        MessageComplete(turn=0, text="by the way", status="complete"),
        ToolStart(turn=0, tool_id="t", title="look"),
        MessageDelta(turn=0, part=2, text="more\n"),
        MessageComplete(turn=0, part=2, text="more\n", status="complete"),
    )
    assert agent("log", "Build").out == "-- unasked:\nby the way\n  tool: look (unasked)\n-- unasked:\nmore\n"


def test_a_request_shows_what_it_is_about_before_the_choices() -> None:
    about = RequestOpen(
        turn=1, request_id="r", kind="choices", prompt="Run it?", detail="rm -rf build\n", choices=MODES
    )
    assert texts(request_lines(about)) == ["    rm -rf build", "? Run it?", "  1) Ask first", "  2) Do it"]
    change = RequestOpen(turn=1, request_id="r", kind="choices", prompt="Write?", detail=PATCH)
    assert request_lines(change)[2:5] == [("    -old", "red"), ("    +n�[2Jew", "green"), ("? Write?", "yellow")]


@given(st.text(alphabet="a\x1b]0;\x07\u202e\r\n[8m"))
def test_nothing_of_what_is_allowed_is_hidden(detail: str) -> None:  # T10
    about = RequestOpen(turn=1, request_id="r", kind="choices", detail=detail)
    told = texts(request_lines(about))
    assert not DANGEROUS & set("".join(told))
    assert sum(line.count("a") for line in told[:-1]) == detail.count("a")


def test_what_is_left_out_is_said() -> None:
    assert shown("x" * (LONG + 7)) == "x" * LONG + " … 7 characters left out"
    long = RequestOpen(turn=1, request_id="r", kind="choices", detail="line\n" * (DETAIL_MAX + 5))
    assert texts(request_lines(long))[DETAIL_MAX] == "    … 5 lines left out"
    assert texts(diff_lines(Diff(path="a", patch="+x\n" * (DIFF_MAX + 1))))[-1] == "    … 1 lines left out"


@given(st.lists(st.text(alphabet="ab\r", max_size=4), max_size=60), st.integers(1, 9))
def test_the_output_of_a_tool_is_bounded_and_its_ends_are_shown(lines: list[str], size: int) -> None:
    text = "\n".join(lines)
    output = ToolOutput()
    told = [line for i in range(0, len(text), size) for line in output.more(text[i : i + size])]
    again = output.whole(text)  # the whole output at the end, which was shown in part
    told += [*again, *output.end()]
    direct = ToolOutput()
    wanted = [*direct.whole(text), *direct.end()]
    assert len(told) <= FIRST + LAST + 1
    assert told == wanted


def test_a_snapshot_in_the_middle_of_a_tool_repeats_nothing() -> None:  # S4
    tools = RunningTools()
    tools.started(ToolStart(turn=1, tool_id="t", title="make"))
    assert texts(tools.updated(ToolUpdate(turn=1, tool_id="t", text="a\nb\n"))) == ["    a", "    b"]
    assert texts(tools.updated(ToolUpdate(turn=1, tool_id="t", text="a\nb\nc\n"), merged=True)) == ["    c"]
    assert texts(tools.finished(ToolComplete(turn=1, tool_id="t", status="complete", output="other\n"))) == [
        "    other"
    ]


def test_tools_side_by_side_are_told_apart() -> None:
    tools = RunningTools()
    for name in ("one", "two"):
        tools.started(ToolStart(turn=1, tool_id=name, title=name))
    assert texts(tools.updated(ToolUpdate(turn=1, tool_id="one", text="a\n"))) == ["  tool: one", "    a"]
    assert texts(tools.updated(ToolUpdate(turn=1, tool_id="one", text="b\n"))) == ["    b"]
    assert texts(tools.updated(ToolUpdate(turn=1, tool_id="two", title="2"))) == ["  tool: 2"]
    assert texts(tools.finished(ToolComplete(turn=1, tool_id="one", status="complete"))) == []
    assert texts(tools.finished(ToolComplete(turn=1, tool_id="late", status="interrupted"))) == [
        "  tool interrupted: late"
    ]


def test_of_a_known_plan_only_what_changed_is_shown() -> None:
    plan = ShownPlan()
    steps = [PlanEntry(text=text) for text in "abc"]
    assert len(plan.updated(PlanUpdate(turn=1, entries=tuple(steps)))) == 4
    steps[1] = PlanEntry(text="b", status="in_progress")
    assert texts(plan.updated(PlanUpdate(turn=1, entries=tuple(steps)))) == ["  plan: 0 of 3 done", "    [>] b"]
    assert plan.updated(PlanUpdate(turn=1, entries=tuple(steps))) == []


def test_usage_says_what_is_known() -> None:
    assert used(Usage(used=999)) == ["999 tokens"]
    assert used(Usage(used=1_250_000, size=2_000_000)) == ["1.2M of 2.0M tokens"]
    assert used(Usage(cost=2.0, currency="E\x1bR")) == ["2 E�R"]
    assert used(Usage()) == []


def test_a_tool_is_shown_with_its_name_and_where_it_works() -> None:  # T10
    tools = RunningTools()
    at = (Location(path="src/a.py", line=12), Location(path="b\x1b[2J.py"), Location(path="read.me"))
    start = ToolStart(turn=1, tool_id="t", title="Edit read.me", tool="edit", tool_name="MultiEdit", locations=at)
    assert texts(tools.started(start)) == [
        "  tool: Edit read.me (MultiEdit)",
        "    at src/a.py:12, b�[2J.py",
    ]
    assert tools.updated(ToolUpdate(turn=1, tool_id="t", locations=at)) == []
    more = tuple(Location(path=f"{number}.py") for number in range(10))
    told = texts(tools.updated(ToolUpdate(turn=1, tool_id="t", locations=more)))
    assert told == ["    at 0.py, 1.py, 2.py, 3.py, 4.py, 5.py, 6.py, 7.py and 2 more"]
    done = ToolComplete(turn=1, tool_id="t", status="complete", locations=(Location(path="z", line=1), *more))
    assert texts(tools.finished(done)) == ["    at z:1"]
    bash = ToolStart(turn=1, tool_id="u", title="make", tool="execute", tool_name="Bash")
    assert texts(tools.started(bash)) == ["  tool: make (Bash, execute)"]
    shell = ToolStart(turn=1, tool_id="v", title="Running shell", tool="shell", tool_name="shell")
    assert texts(tools.started(shell)) == ["  tool: Running shell"]


def test_a_permission_is_shown_with_where_it_runs_and_what_its_choices_mean() -> None:
    choices = (Choice(id="y", name="Yes", description="This\ntime"), Choice(id="n", name="No"))
    request = RequestOpen(
        turn=1, request_id="r", kind="choices", prompt="make all", choices=choices, detail="make all",
        tool="execute", tool_name="Bash", cwd="/srv/a\x1b[2Jpp", locations=(Location(path="Makefile", line=3),),
    )  # fmt: skip
    assert texts(request_lines(request)) == [
        "    make all",
        "    in /srv/a�[2Jpp",
        "    at Makefile:3",
        "? make all (Bash)",
        "  1) Yes",
        "     This time",
        "  2) No",
    ]


def test_what_was_answered_is_told_in_words(gateway: FakeGateway, agent: Agent) -> None:
    fields = (Field(name="n", type="integer", required=True, title="How many"), Field(name="sure", type="boolean"))
    gateway.emit(
        RequestOpen(turn=1, request_id="r", kind="form", prompt="Fill in", fields=fields),
        RequestClosed(turn=1, request_id="r", status="answered", answer={"n": 3, "sure": True}, by=_sender()),
    )
    assert agent("log", "Build").out.splitlines() == [
        "? Fill in",
        "  n (whole number, required): How many",
        "  sure (yes or no)",
        "  (decline refuses to fill it in)",
        "[laptop] How many: 3 · sure: yes",
    ]


def test_a_diff_that_was_cut_counts_the_lines_that_are_not_there() -> None:
    patch = "@@ -1,200 +1,200 @@\n" + "-a\n" * 100 + "\\ … 300 lines left out\n"
    told = texts(diff_lines(Diff(path="a", patch=patch, cut=300, added=200, removed=200)))
    assert told[0] == "  a (+200 -200)"
    assert told[-1] == f"    … {101 - DIFF_MAX + 300} lines left out"


def test_of_an_output_that_was_cut_before_it_came_lines_and_characters_are_counted() -> None:
    tools = RunningTools()
    tools.started(ToolStart(turn=1, tool_id="t", title="make"))
    output = "line\n" * 50 + "… 12,345 characters left out\n" + "line\n" * 50 + "error: at the end\n"
    told = texts(tools.finished(ToolComplete(turn=1, tool_id="t", status="error", output=output)))
    assert "    … 86 lines and 12,345 characters left out" in told
    assert told[-2:] == ["    error: at the end", "  tool error: make"]
