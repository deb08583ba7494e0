"""A stranger on the network, or a page in a browser, wants to be let in (threats T1, T5).

Expected: TLS refusals and nothing else; a browser's request is refused even with the key of a paired device. What
tests/e2e/test_doors.py and tests/adapters/net/test_tls.py prove (no TLS, old TLS, foreign and minted certificates) is
not repeated here.
"""

from __future__ import annotations

import pytest

from tests.attacks.conftest import Scene

pytestmark = pytest.mark.device

UPGRADE = (
    b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: lan-agent.v1.msgpack\r\n"
)


def test_a_device_of_the_same_program_that_is_not_paired_gets_no_byte(scene: Scene) -> None:
    """Attack: an upgrade with a valid identity that nobody has paired. Expected: hung up, no HTTP."""
    for pem in (scene.foreign, ""):
        told = scene.attack("say", pem, "0", sent=[UPGRADE + b"\r\n"])
        assert (told["tls"], told["got"], told["closed"]) == (True, "", True)


def test_it_reads_why_on_its_own_screen(scene: Scene) -> None:
    """Attack: none, an owner's mistake. Expected: exit 5 and the way in, not a network error."""
    scene.stranger.wait_to_see(scene.desk, paired=False)
    refused = scene.stranger.run("new", "--on", "desk", status=5)
    assert "not paired" in refused.stderr
    assert "agent pair" in refused.stderr


@pytest.mark.parametrize(
    "header",
    [b"Origin: https://evil.example", b"origin: null", b"Cookie: a=b", b"Sec-Fetch-Site: none", b"sec-fetch-mode: x"],
)
@pytest.mark.parametrize("path", [b"/v1/ws", b"/"])
def test_a_browser_is_refused_even_with_the_key(scene: Scene, header: bytes, path: bytes) -> None:
    """Attack: a page makes a browser connect that somehow has a client certificate. Expected: 403, no upgrade."""
    told = scene.attack(
        "say", scene.stolen, "0", "head", sent=[UPGRADE.replace(b"/v1/ws", path) + header + b"\r\n\r\n"]
    )
    assert told["got"].startswith("HTTP/1.1 403"), told


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET / HTTP/1.1",
        b"POST /v1/rpc HTTP/1.1",
        b"GET /v1/ws HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET /v1/../v1/rpc HTTP/1.1",
    ],
)
def test_the_lan_port_has_one_request_and_no_other(scene: Scene, request_line: bytes) -> None:
    """Attack: a paired device asks for the control socket's methods, or for files. Expected: an HTTP error."""
    told = scene.attack(
        "say", scene.stolen, "0", "head", sent=[request_line + b"\r\nHost: x\r\nContent-Length: 0\r\n\r\n"]
    )
    assert told["got"][:12] in {"HTTP/1.1 400", "HTTP/1.1 404", "HTTP/1.1 405", "HTTP/1.1 426"}, told
    assert "agent" not in told["got"].lower()
