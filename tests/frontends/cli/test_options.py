"""`agent set`: what may be set of a session, and setting it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

from agent.errors import ReadOnly
from agent.frontends.cli.options import complete_option, complete_value
from agent.frontends.cli.options import set as command
from agent.paths import control_socket_path
from tests.frontends.agents import AgentGateway
from tests.frontends.conftest import Agent, Screen
from tests.frontends.gateway import HERE


@pytest.fixture
def gateway(home: Path) -> Iterator[AgentGateway]:
    fake = AgentGateway(control_socket_path(os.environ))
    yield fake
    fake.close()


def test_what_may_be_set_is_listed_with_what_is_set(gateway: AgentGateway, agent: Agent, screen: Screen) -> None:
    assert screen("set", "Build").splitlines() == [
        "OPTION  NAME   VALUE  CHOICES",
        "mode    Mode   ask    ask, free",
        "m       Model  small  small, large",
    ]
    assert screen("set", HERE, "model").splitlines() == [  # T10
        "VALUE  NAME       NOW",
        "small  Small one  set",
        "large  La�[2Jrge",
    ]
    assert agent("set", "Build").out == "mode\tMode\task\task, free\nm\tModel\tsmall\tsmall, large\n"
    rows = json.loads(agent("set", HERE, "--json").out)
    assert rows[0] == {
        "id": "mode", "name": "Mode", "value": "ask", "category": "mode",
        "choices": [
            {"id": "ask", "name": "Ask first", "description": ""}, {"id": "free", "name": "Do it", "description": ""},
        ],
        "description": "",
    }  # fmt: skip
    assert json.loads(agent("set", HERE, "m", "--json").out)["id"] == "m"


@pytest.mark.parametrize("option", ["mode", "Mode"])
@pytest.mark.parametrize("value", ["free", "do it"])
def test_an_option_is_set_by_id_or_name(gateway: AgentGateway, agent: Agent, option: str, value: str) -> None:
    assert agent("set", HERE, option, value) == (0, "", "mode: Do it\n")
    assert gateway.options[0].value == "free"
    assert json.loads(agent("set", HERE, option, "ask", "--json").out)["value"] == "ask"


def test_wrong_options_and_values_are_told_before_sending(gateway: AgentGateway, agent: Agent) -> None:
    assert agent("set", HERE, "colour") == (2, "", "agent: there is no option 'colour'\n  hint: there are: mode, m\n")
    assert agent("set", HERE, "m", "huge") == (2, "", "agent: m takes no 'huge'\n  hint: it takes: small, large\n")
    assert agent("set", "nope").status == 4
    assert not gateway.called("session.configure")
    gateway.refusals["session.configure"] = ReadOnly()
    assert agent("set", HERE, "m", "large").status == 5


def test_what_options_and_values_mean_is_told(gateway: AgentGateway, agent: Agent) -> None:
    mode = gateway.options[0]
    choices = (msgspec.structs.replace(mode.choices[0], description="Before\neach edit"), mode.choices[1])
    gateway.options[0] = msgspec.structs.replace(mode, choices=choices, description="What it asks\x1b[2J for")
    ran = agent("set", HERE, "mode")
    assert ran.out.splitlines() == ["ask\tAsk first\tset\tBefore each edit", "free\tDo it\t\t"]
    assert ran.err == "mode: What it asks�[2J for\n"  # T10
    row = json.loads(agent("set", HERE, "mode", "--json").out)
    assert (row["description"], row["choices"][0]["description"]) == ("What it asks\x1b[2J for", "Before\neach edit")
    context = click.Context(command)
    context.params = {"session": HERE, "option": "mode"}
    assert complete_value(context, command.params[1], "a")[0].help == "Ask first: Before each edit"


def test_a_session_without_options_says_so(gateway: AgentGateway, agent: Agent) -> None:
    gateway.options = []
    assert agent("set", HERE) == (0, "", "nothing of this session may be set\n")
    assert json.loads(agent("set", HERE, "--json").out) == []
    assert agent("set", HERE, "mode").err.endswith("there are: none\n")


def test_options_and_values_are_completed(gateway: AgentGateway) -> None:
    context = click.Context(command)
    param = command.params[1]
    context.params = {"session": HERE, "option": "mode"}
    assert [item.value for item in complete_option(context, param, "m")] == ["mode", "m"]
    assert [item.value for item in complete_value(context, param, "f")] == ["free"]
    context.params = {"session": "nope", "option": "mode"}
    assert complete_option(context, param, "") == complete_value(context, param, "") == []
    gateway.stop()
    assert complete_option(context, param, "") == []
