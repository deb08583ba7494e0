"""`agent backends`, and the completion of their names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.errors import BackendFailed, DeviceNotFound
from agent.frontends.cli.backends import lines
from agent.frontends.cli.output import Printer
from agent.protocol.backends import BackendRow, ListBackends
from tests.frontends.conftest import Agent, Screen
from tests.frontends.gateway import HERE, FakeGateway


def row(name: str, *, ready: bool = True, default: bool = False, **more: Any) -> BackendRow:
    return BackendRow(name=name, kind="x", description=f"about {name}", ready=ready, default=default, **more)


@pytest.fixture
def filled(gateway: FakeGateway) -> FakeGateway:
    gateway.backends = [
        row("zed", ready=False, missing="zed is not on PATH", hint="npm i -g zed"),
        row("shell", default=True),
        row("ollama", detail="0.12.6 at http://127.0.0.1:11434: qwen3"),
        row("bad", ready=False, missing="ImportError: x"),
    ]
    return gateway


def test_ready_ones_come_first_and_the_default_is_marked(filled: FakeGateway, agent: Agent, screen: Screen) -> None:
    assert screen("backends").splitlines() == [
        "NAME             STATE    WHAT",
        "ollama           ready    about ollama: 0.12.6 at http://127.0.0.1:11434: qwen3",
        "shell (default)  ready    about shell",
        "bad              missing  ImportError: x",
        "zed              missing  zed is not on PATH; npm i -g zed",
    ]
    ran = agent("backends")
    assert ran.err == ""
    assert ran.out.splitlines() == [
        "ollama\tready\tabout ollama: 0.12.6 at http://127.0.0.1:11434: qwen3\t\tx",
        "shell\tready\tabout shell\tdefault\tx",
        "bad\tmissing\tImportError: x\t\tx",
        "zed\tmissing\tzed is not on PATH; npm i -g zed\t\tx",
    ]


def test_what_to_do_about_a_missing_one_is_never_cut(gateway: FakeGateway, screen: Screen) -> None:
    hint = "npm install -g @zed-industries/claude-code-acp, then run `agent service restart` and look again"
    gateway.backends = [row("claude", ready=False, missing="claude-code-acp is not on PATH", hint=hint)]
    for columns in (20, 40, 60, 100, 200):
        shown = screen("backends", columns=columns)
        assert "".join(hint.split()) in "".join(shown.split())
        assert max(map(len, shown.splitlines())) <= columns
    assert hint in screen("backends", "claude", columns=40)


def test_one_backend_is_told_in_full_by_its_name(filled: FakeGateway, agent: Agent) -> None:
    assert agent("backends", "SHELL").out.splitlines() == [
        "name    shell (default)",
        "state   ready",
        "kind    x",
        "what    about shell",
    ]
    assert [each["name"] for each in json.loads(agent("backends", "zed", "--json").out)] == ["zed"]
    ran = agent("backends", "zod")
    assert (ran.status, ran.err) == (2, "agent: no backend 'zod'\n  hint: there are: bad, ollama, shell, zed\n")


def test_the_shells_that_may_be_chosen_are_named(gateway: FakeGateway, agent: Agent) -> None:
    gateway.backends = [row("shell", default=True, shells=("zsh", "bash"))]
    assert agent("backends").out == "shell\tready\tabout shell: zsh, bash\tdefault\tx\n"
    assert agent("backends", "shell").out.endswith("shells  zsh, bash\n")
    assert json.loads(agent("backends", "--json").out)[0]["shells"] == ["zsh", "bash"]


def test_a_shell_whose_start_up_files_take_long_is_told_with_its_session(gateway: FakeGateway, agent: Agent) -> None:
    late = "zsh 5.9: its start-up files are not done after 10 s"
    gateway.sessions[0] = msgspec.structs.replace(gateway.sessions[0], program=late)
    ran = agent("new")
    assert (ran.status, ran.out) == (0, f"{HERE}\n")
    assert ran.err == f"{late}\n  hint: `agent attach --raw {HERE}` shows it\n"


def test_a_shell_is_asked_for_by_name_or_by_its_path_from_here(
    gateway: FakeGateway, agent: Agent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert agent("new", "--shell", "zsh").status == 0
    assert agent("new", "--shell", "bin/zsh").status == 0
    assert [asked.shell for asked in gateway.called("session.create")] == ["zsh", f"{tmp_path}/bin/zsh"]


def test_a_device_that_cannot_choose_makes_no_other_shell_without_a_word(gateway: FakeGateway, agent: Agent) -> None:
    gateway.backends = [row("shell", default=True)]
    ran = agent("new", "--on", "desk", "--shell", "zsh")
    assert (ran.status, gateway.called("session.create")) == (2, [])
    assert ran.err == (
        "agent: the lan-agent of desk knows no choice of shells\n  hint: update lan-agent there, or leave out --shell\n"
    )
    gateway.backends = [row("shell", default=True, shells=("bash",))]
    assert agent("new", "--on", "desk", "--shell", "bash").status == 0
    assert agent("new", "--again", "Build", "--shell", "bash").status == 2


def test_a_default_that_cannot_be_used_gives_advice(gateway: FakeGateway, agent: Agent) -> None:
    gateway.backends = [row("shell", ready=False, default=True, missing="bash is not installed")]
    assert "agent new --backend NAME" in agent("backends").err


def test_json_is_what_the_wire_gives(filled: FakeGateway, agent: Agent) -> None:
    rows = json.loads(agent("backends", "--json").out)
    assert [each["name"] for each in rows] == ["zed", "shell", "ollama", "bad"]
    assert rows[1] == {
        "name": "shell", "kind": "x", "description": "about shell", "ready": True, "default": True, "detail": "",
        "missing": "", "hint": "", "shells": [],
    }  # fmt: skip


def test_another_device_is_asked_by_name(filled: FakeGateway, agent: Agent) -> None:
    agent("backends", "--on", "desk")
    assert filled.called("backend.list") == [ListBackends(device="desk")]
    filled.refusals["backend.list"] = DeviceNotFound("no device 'desk'")
    ran = agent("backends", "--on", "desk")
    assert (ran.status, ran.err.splitlines()[0]) == (4, "agent: no device 'desk'")


def test_what_another_device_calls_its_backends_drives_no_terminal(gateway: FakeGateway, agent: Agent) -> None:
    # T10
    evil = "\x1b]0;owned\x07\x1b[2J\u202egpj"
    gateway.backends = [
        BackendRow(name=f"x{evil}", kind=evil, description=evil, ready=True, default=False, detail=evil),
        BackendRow(name=f"y{evil}", kind=evil, description=evil, ready=False, default=False, missing=evil, hint=evil),
    ]
    for argv in (("backends",), ("backends", "--json"), ("--color", "always", "backends")):
        out = agent(*argv).out
        assert "\x07" not in out
        assert "\x1b[2J" not in out
        assert "\x1b]" not in out
        assert "\u202e" not in out


def test_those_of_which_the_same_is_said_are_one_line(gateway: FakeGateway, screen: Screen) -> None:
    missing = {"b": "not there", "a": "not there", "c": "broken"}
    gateway.backends = [row(name, ready=False, missing=why, hint="ask there") for name, why in missing.items()]
    out = screen("backends")
    assert [" ".join(line.split()) for line in out.splitlines()[1:]] == [
        "2 more missing a, b: not there; ask there",
        "c missing broken; ask there",
    ]


def test_a_table_fits_its_terminal() -> None:
    printer = Printer(environ={"COLUMNS": "60"})
    printer.tty = True
    table = lines([{"name": "a", "default": False, "ready": True, "description": "x" * 200, "detail": ""}], printer)
    assert max(map(len, table)) <= 60


def test_an_unknown_backend_ends_in_advice(gateway: FakeGateway, agent: Agent) -> None:
    gateway.refusals["session.create"] = BackendFailed("no backend 'x' on laptop", hint="see `agent backends`")
    ran = agent("new", "--backend", "x")
    assert ran.status == 1
    assert ran.err.splitlines() == ["agent: no backend 'x' on laptop", "  hint: see `agent backends`"]


def test_names_are_completed_of_the_device_that_is_asked(filled: FakeGateway, home: Path) -> None:
    def complete(words: str, at: int) -> list[str]:
        environ = {**os.environ, "_AGENT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        ran = subprocess.run([sys.executable, "-m", "agent"], env=environ, capture_output=True, text=True, check=False)
        assert ran.stderr == ""
        return ran.stdout.split()

    assert complete("agent new --backend ", 3) == ["plain,zed", "plain,shell", "plain,ollama", "plain,bad"]
    assert complete("agent new --on desk --backend s", 5) == ["plain,shell"]
    assert filled.called("backend.list") == [ListBackends(), ListBackends(device="desk")]
    filled.backends.append(row("sh", shells=("zsh", "bash")))
    assert complete("agent new --shell ", 3) == ["plain,zsh", "plain,bash"]
    assert complete("agent new --shell /bin/z", 3) == ["file,/bin/z"]
    filled.stop()
    assert complete("agent new --backend ", 3) == []
