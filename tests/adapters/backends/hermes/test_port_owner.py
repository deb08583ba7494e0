"""Another user of this machine sits at the port of a gateway (threat T6)."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from agent.adapters.backends.hermes.config import GatewayConfig
from agent.adapters.backends.hermes.locate import find_gateways, gateway_to_join, is_ours
from agent.errors import BackendFailed

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
OTHER = os.geteuid() + 1


def table(tmp_path: Path, *rows: tuple[str, str, int]) -> Path:
    """A `/proc` whose TCP tables have these rows: local address, state, user."""
    folder = tmp_path / "net"
    folder.mkdir(exist_ok=True)
    for name, size in (("tcp", 13), ("tcp6", 37)):
        lines = (
            f"   0: {address} {'0' * (size - 5)}:0000 {state} 00000000:00000000 00:00000000 00000000 {user:5} 0 1 1\n"
            for address, state, user in rows
            if len(address) == size
        )
        (folder / name).write_text(HEAD + "".join(lines))
    return tmp_path


@pytest.fixture
async def place() -> AsyncIterator[tuple[str, list[str]]]:
    """Something that says that it is a gateway, and what it was asked."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        if request.path == "/api/status":
            return web.json_response({"version": "0.19.0", "active_sessions": 0})
        return web.Response(text='<script>window.__HERMES_SESSION_TOKEN__ = "bait"</script>')

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    await runner.cleanup()


@pytest.mark.parametrize(
    ("address", "state", "user", "ours"),
    [
        ("0100007F:239F", "0A", os.geteuid(), True),
        ("00000000:239F", "0A", 0, True),
        ("0100007F:239F", "0A", OTHER, False),
        ("00000000:239F", "0A", OTHER, False),
        (f"{'0' * 32}:239F", "0A", OTHER, False),
        (f"{'0' * 16}FFFF00000100007F:239F", "0A", OTHER, False),
        ("0100007F:239E", "0A", os.geteuid(), False),  # another port: nobody is known to be at this one
        ("0100007F:239F", "01", os.geteuid(), False),  # a connection, and not who listens
    ],
)
def test_who_listens_is_told_by_the_table(tmp_path: Path, address: str, state: str, user: int, ours: bool) -> None:
    assert is_ours("http://127.0.0.1:9119", table(tmp_path, (address, state, user))) is ours


def test_of_two_listeners_both_must_be_ours(tmp_path: Path) -> None:
    proc = table(tmp_path, ("00000000:239F", "0A", os.geteuid()), ("0100007F:239F", "0A", OTHER))
    assert not is_ours("http://127.0.0.1:9119", proc)
    assert is_ours("http://[::1]:9119", table(tmp_path, (f"{'0' * 24}01000000:239F", "0A", os.geteuid())))


def test_a_socket_of_this_process_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert is_ours(f"http://127.0.0.1:{server.getsockname()[1]}")


async def test_a_gateway_of_another_user_gets_no_token_and_no_session(
    tmp_path: Path, place: tuple[str, list[str]]
) -> None:
    base, asked = place
    port = int(base.rpartition(":")[2])
    token = tmp_path / "token"
    token.write_text("hush")
    token.chmod(0o600)
    config = GatewayConfig(name="hermes", join=True, base=base, token_file=str(token))
    theirs = table(tmp_path, (f"0100007F:{port:04X}", "0A", OTHER))
    with pytest.raises(BackendFailed, match="run by another user"):
        await gateway_to_join(config, proc=theirs)
    assert await find_gateways(config, proc=theirs) == []
    assert set(asked) == {"/api/status"}

    ours = table(tmp_path, (f"0100007F:{port:04X}", "0A", os.geteuid()))
    found, given = await gateway_to_join(config, proc=ours)
    assert (found.base, given) == (base, "hush")
