"""Wrong usage is status 2, in words of our own that name the accepted forms; `agent` alone says what to do next."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from agent.errors import Busy
from agent.frontends.cli.examples import EXAMPLES
from agent.frontends.cli.main import COMMANDS
from agent.frontends.cli.main import agent as group
from agent.frontends.cli.parameters import Moment, Span, Whole
from tests.frontends.cli.test_attach import Terminal
from tests.frontends.conftest import Agent
from tests.frontends.gateway import FakeGateway

CLICKS = ("is not a valid", "Invalid value", "Missing", "No such", "x<", "x>", "unexpected", "requires an argument")
"""Words of click's that nobody needs to understand."""


def parameters() -> Iterator[tuple[str, click.Parameter]]:
    """Every parameter of every command, with the command."""
    for param in group.params:
        yield "", param
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        for param in command.params:
            yield name, param


OPTIONS = [(name, param) for name, param in parameters() if isinstance(param, click.Option) and not param.is_flag]


def ids(pair: object) -> str:
    return pair.opts[0] if isinstance(pair, click.Parameter) else str(pair)


def test_no_command_has_numbers_of_clicks() -> None:
    """Their messages are about `float range` and `0<=x<=65535`: `parameters` has ours."""
    own = {"text", "boolean", Span.name, Whole.name, Moment.name, "choice"}
    assert {param.type.name for _, param in parameters()} <= own


@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=ids)
def test_a_bad_value_is_told_with_the_option_and_what_it_takes(
    agent: Agent, command: str, option: click.Option
) -> None:
    if not isinstance(option.type, Span | Whole | Moment | click.Choice):
        return  # any text will do, or the service says what is wrong
    name = max(option.opts, key=len)
    argv = [command, name, "soon"] if command else [name, "soon", "peers"]
    ran = agent(*argv)
    assert (ran.status, ran.out) == (2, "")
    first, second = ran.err.splitlines()
    assert first.startswith(f"agent: {name}: ")
    assert "'soon'" in first
    forms = {"time": "30min", "number": "a whole number", "when": "2026-01-31", "choice": "is not one of '"}
    assert forms[option.type.name] in first
    assert second.startswith("  hint: see `agent")
    assert [word for word in CLICKS if word in ran.err] == []


@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=ids)
def test_an_option_without_its_value_says_that_it_needs_one(agent: Agent, command: str, option: click.Option) -> None:
    name = max(option.opts, key=len)
    ran = agent(*filter(None, [command, name]))
    assert ran.status == 2
    assert ran.err.startswith(f"agent: {name} needs a value: ")


@pytest.mark.parametrize(
    ("argv", "told", "hint"),
    [
        (["pear"], "there is no command 'pear'", "did you mean `agent pair` or `agent peers`?"),
        (["sesions"], "there is no command 'sesions'", "did you mean `agent sessions`?"),
        (["ls"], "there is no command 'ls'", "did you mean `agent sessions`?"),
        (["PEERS"], "there is no command 'PEERS'", "did you mean `agent peers`?"),
        (["version"], "there is no command 'version'", "did you mean `agent --version`?"),
        (["export"], "there is no command 'export'", "did you mean `agent log --export md`?"),
        (["quit"], "there is no command 'quit'", "did you mean `agent close`?"),
        (["help", "sesions"], "there is no command 'sesions'", "did you mean `agent sessions`?"),
        (["xyzzy"], "there is no command 'xyzzy'", "`agent --help` lists the commands"),
        (["peers", "--wach"], "`agent peers` has no option --wach", "did you mean `--watch` or `--wait`? see"),
        (["log", "x", "-f"], "`agent log` has no option -f", "did you mean `--follow`? see `agent log --help`"),
        (["peers", "--nope"], "`agent peers` has no option --nope", "see `agent peers --help`"),
        (["peers", "desk"], "`agent peers` does not take 'desk'", "like `agent peers`; see `agent peers --help`"),
        (["rename", "x"], "`agent rename` needs TITLE", "like `agent rename build nightly build`; see"),
        (["share", "x", "all of it"], "HOW: 'all of it' is not one of 'all', 'read-only', 'private'", "see `agent"),
        (["prompt", "x", "y", "--wait", "3d"], "--wait: takes 0 seconds to 1 day, not 3d", "see `agent prompt --help`"),
        (["up", "--port", "70000"], "--port: takes a whole number from 0 to 65535, not '70000'", "see `agent up"),
        (["audit", "--since", "soon"], "--since: 'soon' is neither an age like 90, 30min, 8h or 2d, nor a time", "see"),
        (["new", "--cwd", "/no/such"], "--cwd: there is no directory /no/such", "see `agent new --help`"),
    ],
)  # fmt: skip
def test_what_is_wrong_and_what_was_perhaps_meant(agent: Agent, argv: list[str], told: str, hint: str) -> None:
    ran = agent(*argv)
    assert (ran.status, ran.out) == (2, "")
    first, second = ran.err.splitlines()
    assert first.startswith(f"agent: {told}")
    assert second.startswith(f"  hint: {hint}")


@pytest.mark.parametrize("text", ["90", "1.5", "30min", "30 min", "8h", "2d"])
def test_spans_have_units(text: str) -> None:
    told = {"90": 90.0, "1.5": 1.5, "30min": 1800.0, "30 min": 1800.0, "8h": 28_800.0, "2d": 172_800.0}
    assert Span().convert(text, None, None) == told[text]


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e9", "", "5m", "٣"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Span().convert(text, None, None)


@pytest.mark.parametrize("text", ["2026-01-31", "2026-01-31T12:00", "today", "yesterday", "8h"])
def test_a_moment_gets_a_zone(text: str) -> None:
    assert Moment().convert(text, None, None).endswith("Z")


def test_a_moment_with_a_zone_stays_as_it_is() -> None:
    assert Moment().convert("2026-01-31T12:00:00.5+01:00", None, None) == "2026-01-31T12:00:00.5+01:00"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_its_examples(agent: Agent, command: str) -> None:
    told = agent(command, "--help").out
    assert [line for line, _ in EXAMPLES[command] if f"  {line}\n" not in told] == []


@pytest.mark.parametrize(
    ("asked", "option"), [(["help"], ["--help"]), (["help", "log"], ["log", "--help"]), (["help", "-h"], ["--help"])]
)
def test_help_is_a_command_too(agent: Agent, asked: list[str], option: list[str]) -> None:
    assert agent(*asked) == agent(*option)
    assert agent(*asked).status == 0


# --- `agent` alone ---------------------------------------------------------------------------------------------------


def following(out: str) -> list[str]:
    return [line.strip().partition("  ")[0] for line in out.splitlines() if line.startswith("  agent ")]


def test_agent_alone_without_a_service_says_how_to_start_it(agent: Agent) -> None:
    ran = agent()
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("lan-agent 0.1.0  Sessions of agents on all your machines")
    assert "\nThe service is not running on this device.\n" in ran.out
    assert following(ran.out) == ["agent up", "agent demo", "agent --help"]


@pytest.mark.parametrize(
    ("paired", "lines"),
    [(0, ["agent peers", "agent pair"]), (2, ["agent sessions", "agent attach"])],
)
def test_agent_alone_says_how_the_service_is_and_three_commands(
    gateway: FakeGateway, agent: Agent, paired: int, lines: list[str]
) -> None:
    gateway.status = {"paired": paired, "sessions": 1, "problems": ("no network \x1b[2Jinterface is up",)}
    ran = agent()
    assert (ran.status, ran.err) == (0, "")
    devices = "2 paired devices" if paired else "0 paired devices"
    assert f"The service runs: laptop (abcd-efgh), {devices}, 0 online, 1 session here.\n" in ran.out
    assert "problem: no network \N{REPLACEMENT CHARACTER}[2Jinterface is up\n" in ran.out
    assert following(ran.out) == [*lines, "agent new --attach", "agent --help"]


def test_agent_alone_with_a_service_in_trouble_says_so(gateway: FakeGateway, agent: Agent) -> None:
    gateway.refusals["gateway.status"] = Busy("too much at once", retry_after=30.0)
    ran = agent()
    assert (ran.status, ran.err) == (0, "")
    assert "too much at once; try again in a moment\n" in ran.out


def test_agent_alone_on_a_terminal_ends_by_itself(gateway: FakeGateway) -> None:
    shown = Terminal()
    try:
        shown.until("agent --help")
        assert shown.child.wait(20) == 0
    finally:
        shown.close()
