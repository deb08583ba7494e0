"""Which agents are offered, and what is said of those that are missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agent.adapters.backends.acp import AcpAgent, AcpFamily
from agent.adapters.backends.acp.family import KNOWN_AGENTS
from agent.adapters.backends.acp.quirks import TABLE, Quirks, parse, quirks_of
from agent.errors import BackendFailed
from agent.ports import BackendConfig, BackendFamily, BackendType, Inspection, Inspects, Start
from agent.protocol.model import SessionId
from tests.adapters.backends.acp.conftest import SESSION
from tests.fakes.listener import Listener


def members(configured: dict[str, BackendConfig]) -> dict[str, AcpAgent]:
    found: dict[str, AcpAgent] = {}
    for each in AcpFamily().members(configured):
        assert isinstance(each, AcpAgent)
        assert isinstance(each, Inspects)
        found[each.name] = each
    return found


def test_six_agents_are_always_offered() -> None:
    family: BackendFamily = AcpFamily()
    kinds: list[BackendType] = list(family.members({}))
    assert [kind.name for kind in kinds] == ["claude", "codex", "gemini", "opencode", "hermes", "goose"]
    assert all(kind.description for kind in kinds)


async def test_one_that_is_missing_says_how_to_get_it() -> None:
    for name, agent in members({name: BackendConfig(env={"PATH": "/nowhere"}) for name in KNOWN_AGENTS}).items():
        found = await agent.inspect()
        assert found.missing == agent.missing() == f"{KNOWN_AGENTS[name].program} is not installed"
        assert found.hint == KNOWN_AGENTS[name].install
        with pytest.raises(BackendFailed, match="is not installed") as raised:
            await agent.start(Start(session=SessionId(SESSION)), Listener().emit)
        assert raised.value.hint == KNOWN_AGENTS[name].install


async def test_one_on_path_is_found_with_its_arguments(tmp_path: Path) -> None:
    program = tmp_path / "gemini"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    agent = members({"gemini": BackendConfig(env={"PATH": str(tmp_path)})})["gemini"]
    assert await agent.inspect() == Inspection(detail=f"{program} --acp")
    assert agent.missing() == ""


async def test_what_the_settings_say_goes_first() -> None:
    configured = {
        "claude": BackendConfig(argv=(sys.executable, "mine.py"), description="my own"),
        "mine": BackendConfig(argv=("/no/such/program",)),
        "empty": BackendConfig(),
        "other": BackendConfig(kind="openai"),
    }
    agents = members(configured)
    assert list(agents) == ["claude", "codex", "gemini", "opencode", "hermes", "goose", "mine", "empty"]
    assert await agents["claude"].inspect() == Inspection(detail=f"{sys.executable} mine.py")
    assert agents["claude"].description == "my own"
    assert agents["mine"].missing() == "/no/such/program is not installed"
    assert (await agents["mine"].inspect()).hint == "see [backends.mine] in config.toml"
    assert agents["empty"].missing() == "[backends.empty] has no argv"


async def test_a_program_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF and then nothing")
    broken.chmod(0o755)
    agent = members({"mine": BackendConfig(argv=(str(broken),))})["mine"]
    with pytest.raises(BackendFailed, match=f"{broken} could not be started: Exec format error"):
        await agent.start(Start(session=SessionId(SESSION)), Listener().emit)


def test_an_idle_service_does_not_load_what_runs_agents() -> None:
    import subprocess

    family = "agent.adapters.backends.acp"
    shown = f"import sys, {family}; print([m for m in sys.modules if m.startswith('{family}.')])"
    told = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True).stdout
    assert "family" in told
    assert not [name for name in ("session", "schema", "difflib", "ctypes") if name in told]


# --- quirks ----------------------------------------------------------------------------------------------------------


def test_each_row_says_what_was_seen_and_is_found_by_its_names() -> None:
    for row in TABLE:
        assert row.seen
        for name in row.names:
            assert quirks_of(name, "0.1.0") == row.quirks != Quirks()


@pytest.mark.parametrize(
    ("name", "version", "recycle", "heeds_eof"),
    [
        ("@zed-industries/claude-agent-acp", "0.23.1", "always", False),
        ("@agentclientprotocol/claude-agent-acp", "0.101.0", "never", True),
        ("codex-acp", "0.16.0", "never", False),
        ("codex-acp", "2.6.0", "never", True),
        ("hermes-agent", "0.19.0", "in-tools", True),
        ("gemini-cli", "0.61.0", "never", True),
        ("OpenCode", "1.18.33", "never", True),
        ("", "", "never", True),
    ],
)
def test_the_agents_that_were_measured(name: str, version: str, recycle: str, heeds_eof: bool) -> None:
    quirks = quirks_of(name, version)
    assert (quirks.recycle, quirks.heeds_eof) == (recycle, heeds_eof)


def test_versions_are_compared_by_their_numbers() -> None:
    assert parse("0.9.1") < parse("0.16.0") < parse("v1.2-beta") < parse("1.10")
    assert parse("unknown") == ()
