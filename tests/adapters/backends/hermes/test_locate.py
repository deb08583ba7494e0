"""Finding gateways, the settings, tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.adapters.backends.hermes import HermesBackend, HermesFamily
from agent.adapters.backends.hermes.config import gateway_config
from agent.adapters.backends.hermes.locate import candidates, find_gateways, gateway_to_join, port_of
from agent.errors import BackendFailed
from agent.ports import BackendConfig, Inspects, Start
from agent.protocol.model import SessionId
from tests.adapters.backends.hermes.gateway import TOKEN, ScriptedGateway
from tests.adapters.backends.hermes.joining import QUICK, join
from tests.fakes.listener import Listener


@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("/usr/bin/python3 /usr/bin/hermes serve --host 127.0.0.1 --port 0", 0),
        ("python3 -m hermes_cli.main dashboard --port=9200", 9200),
        ("hermes serve", 9119),
        ("hermes serve --status", None),
        ("hermes chat serve", 9119),
        ("vim serve hermes", None),
        ("python3 http.server serve", None),
    ],
)
def test_command_lines_of_gateways(line: str, port: int | None) -> None:
    assert port_of(line.split(" ")) == port


def test_candidates_are_processes_the_ledger_and_the_usual_port_never_environments(tmp_path: Path) -> None:
    process = tmp_path / "proc/77"
    process.mkdir(parents=True)
    (process / "cmdline").write_bytes(b"hermes\0serve\0--port\0" + b"9300\0")
    (process / "environ").mkdir()  # whoever reads it fails
    home = tmp_path / "home"
    home.mkdir()
    row = '{"pid": 78, "port": 9400, "purpose": "serve", "isolated": %s}'
    (home / "spawn-ledger.json").write_text(f"[{row % 'false'}, {(row % 'true').replace('9400', '9500')}]")
    found = {place.base.rpartition(":")[2]: place.process for place in candidates(tmp_path / "proc", home)}
    assert found == {"9119": 0, "9300": 77, "9400": 78}


async def test_a_gateway_gives_its_token_by_its_page_or_the_owner_by_a_file(tmp_path: Path) -> None:
    async with ScriptedGateway().running() as gateway:
        assert [each.version for each in await find_gateways(join(gateway.url))] == ["0.19.0"]
        assert (await gateway_to_join(join(gateway.url)))[1] == TOKEN
    async with ScriptedGateway(page=False).running() as gateway:
        with pytest.raises(BackendFailed, match="does not tell its token"):
            await gateway_to_join(join(gateway.url))
        file = tmp_path / "token"
        file.write_text(TOKEN)
        file.chmod(0o644)
        with pytest.raises(BackendFailed, match="not safe"):  # T7
            await gateway_to_join(join(gateway.url, token_file=str(file)))
        file.chmod(0o600)
        assert (await gateway_to_join(join(gateway.url, token_file=str(file))))[1] == TOKEN


async def test_a_wrong_token_is_told_and_not_shown(tmp_path: Path) -> None:  # T7
    file = tmp_path / "token"
    file.write_text("wrong-and-secret")
    file.chmod(0o600)
    async with ScriptedGateway().running() as gateway:
        backend = HermesBackend(join(gateway.url, token_file=str(file)), timeouts=QUICK)
        with pytest.raises(BackendFailed, match="does not accept our token") as caught:
            await backend.start(Start(session=SessionId("one")), Listener().emit)
        found = await backend.inspect()
    assert found.missing == str(caught.value) == "the Hermes gateway does not accept our token"
    assert "token_file" in found.hint
    assert "wrong-and-secret" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    "config",
    [
        BackendConfig(kind="hermes", mode="take"),
        BackendConfig(kind="hermes", url="http://127.0.0.1:9119"),
        BackendConfig(kind="hermes", mode="join", url="http://192.168.7.7:9119"),
        BackendConfig(kind="hermes", mode="join", url="http://127.0.0.1:9119/?token=x"),
        BackendConfig(kind="hermes", mode="join", argv=("hermes",)),
        BackendConfig(kind="hermes", env={"HERMES_DASHBOARD_SESSION_TOKEN": "x"}),
        BackendConfig(kind="hermes", key_file="x"),
    ],
)
def test_settings_that_make_no_sense_are_refused(config: BackendConfig) -> None:
    with pytest.raises(BackendFailed):
        gateway_config("hermes", config)


async def test_without_settings_one_member_says_how_to_enable_it() -> None:
    (member,) = HermesFamily().members({})
    assert member.name == "hermes-gateway"
    assert member.missing()
    assert isinstance(member, Inspects)
    assert "[backends.hermes]" in (await member.inspect()).hint
    with pytest.raises(BackendFailed):
        await member.start(Start(session=SessionId("one")), Listener().emit)
    (named,) = HermesFamily().members({"hermes": BackendConfig(kind="hermes", argv=("no-such-hermes",))})
    assert (named.name, named.missing()) == ("hermes", "no-such-hermes is not on the PATH of the service")
