"""Bad input at every door of a running device: refused in words, and everybody else is served on."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import msgspec
import pytest

from tests.e2e.conftest import networks
from tests.e2e.device import Device, pair

pytestmark = pytest.mark.device

BINARY, TEXT = "lan-agent.v1.msgpack", "lan-agent.v1.json"
pack = msgspec.msgpack.encode


@pytest.fixture(scope="module")
def devices() -> Iterator[tuple[Device, Device]]:
    """Two paired ones; the first one's doors are knocked at."""
    with networks() as network:
        desk, laptop = network("desk", "laptop")
        desk.start()
        laptop.start()
        desk.wait_until_up()
        laptop.wait_until_up()
        pair(desk, laptop)
        yield desk, laptop


@pytest.fixture
def desk(devices: tuple[Device, Device]) -> Iterator[Device]:
    """The first; after each test it must be as well as before, and so must its link."""
    yield devices[0]
    devices[0].assert_healthy()
    assert devices[1].sees(devices[0], linked=True)


# --- the control socket -------------------------------------------------------------------------------------------


def send(
    device: Device, *frames: bytes | str, protocol: str = BINARY, good: bool = True
) -> tuple[list[int], int | None]:
    """Codes of the errors that these frames get, and the code with which the connection was closed, if it was.

    With `good` a good request follows them; None means that it was answered.
    """

    async def talk() -> tuple[list[int], int | None]:
        decode = msgspec.msgpack.decode if protocol == BINARY else json.loads
        connector = aiohttp.UnixConnector(str(device.socket))
        async with (
            asyncio.timeout(20),
            aiohttp.ClientSession(connector=connector) as session,
            session.ws_connect("http://localhost/v1/ws", protocols=[protocol], max_msg_size=0) as ws,
        ):
            assert decode((await ws.receive()).data)["method"] == "gateway.ready"
            last = {"jsonrpc": "2.0", "id": 99, "method": "gateway.status"}
            with suppress(ConnectionError):  # what it has said before it closed is read all the same
                for frame in frames:
                    await (ws.send_bytes(frame) if isinstance(frame, bytes) else ws.send_str(frame))
                if good:
                    await (ws.send_bytes(pack(last)) if protocol == BINARY else ws.send_str(json.dumps(last)))
            codes: list[int] = []
            async for message in ws:
                answer = decode(message.data)
                if answer.get("id") == 99:
                    assert answer["result"]["name"] == "desk"
                    return codes, None
                if "error" in answer:
                    codes.append(answer["error"]["code"])
            return codes, ws.close_code

    return asyncio.run(talk())


def request(method: str, params: object) -> bytes:
    return pack({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


DEEP_PACKED = b"\x91" * 100_000 + b"\x00"
DEEP_JSON = "[" * 100_000 + "]" * 100_000
PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS = -32700, -32600, -32601, -32602


@pytest.mark.parametrize(
    ("frame", "codes"),
    [
        pytest.param(b"\xc1 what is this", {PARSE_ERROR}, id="not-msgpack"),
        pytest.param(b"", {PARSE_ERROR}, id="empty"),
        pytest.param(DEEP_PACKED, {PARSE_ERROR, INVALID_REQUEST}, id="too-deep"),
        pytest.param(pack("a string"), {INVALID_REQUEST}, id="no-object"),
        pytest.param(pack({"jsonrpc": "2.0", "id": 1}), {INVALID_REQUEST}, id="neither-request-nor-answer"),
        pytest.param(pack({"jsonrpc": "1.0", "id": 1, "method": "peer.list"}), {INVALID_REQUEST}, id="version"),
        pytest.param(pack({"jsonrpc": "2.0", "id": [1], "method": "peer.list"}), {INVALID_REQUEST}, id="id"),
        pytest.param(pack({"jsonrpc": "2.0", "id": 1, "method": "x" * 65}), {INVALID_REQUEST}, id="long-method"),
        pytest.param(request("no.such", {}), {NO_METHOD}, id="no-method"),
        pytest.param(request("session.attach", {}), {INVALID_PARAMS}, id="missing"),
        pytest.param(request("session.attach", {"session_id": 7}), {INVALID_PARAMS}, id="type"),
        pytest.param(request("session.attach", [1, 2]), {INVALID_PARAMS}, id="array"),
        pytest.param(request("session.attach", {"session_id": "x" * 257}), {INVALID_PARAMS}, id="long"),
        pytest.param(request("session.attach", {"session_id": b"\xff"}), {INVALID_PARAMS}, id="bytes"),
        pytest.param(
            b"\x84\xa7jsonrpc\xa32.0\xa2id\x01\xa6method\xaesession.attach\xa6params\x81\xaasession_id\xa2\xff\xfe",
            {PARSE_ERROR, INVALID_PARAMS},
            id="not-utf-8",
        ),
        pytest.param(request("session.history", {"session_id": "x", "limit": 10**6}), {INVALID_PARAMS}, id="limit"),
        pytest.param(
            request("prompt.submit", {"session_id": "x", "prompt_id": "1", "text": "x" * 131_073}),
            {INVALID_PARAMS},
            id="long-text",
        ),
        pytest.param("text", {PARSE_ERROR}, id="text-on-a-binary-connection"),
    ],
)
def test_a_bad_frame_is_refused_and_the_next_one_served(desk: Device, frame: bytes | str, codes: set[int]) -> None:
    # DESIGN §3: what the schema does not describe gets an error and changes nothing.
    got, closed = send(desk, frame)
    assert len(got) == 1
    assert got[0] in codes
    assert closed is None


@pytest.mark.parametrize("frame", ["{", DEEP_JSON, '"\ud800"'.encode("utf-8", "surrogatepass"), "NaN", b"\xff"])
def test_bad_json_is_refused_and_the_next_one_served(desk: Device, frame: bytes | str) -> None:
    got, closed = send(desk, frame, protocol=TEXT)
    assert got in ([PARSE_ERROR], [INVALID_REQUEST])
    assert closed is None


def test_three_bad_frames_in_a_row_close_the_connection(desk: Device) -> None:
    # DESIGN §3: 1002. A good one in between starts the count anew.
    bad, good = b"\xc1", request("gateway.status", {})
    codes, closed = send(desk, bad, bad, bad, good=False)
    assert (codes, closed) == ([PARSE_ERROR] * 3, 1002)
    codes, closed = send(desk, bad, bad, good, bad, bad)
    assert (codes, closed) == ([PARSE_ERROR] * 4, None)


def test_a_frame_that_is_too_large_closes_the_connection(desk: Device) -> None:
    # 256 KiB from a client: 1009 (RFC 6455 §7.4.1), or reset while the client is still sending.
    codes, closed = send(desk, b"\xc6" + b"x" * 300_000, good=False)
    assert codes == []
    assert closed in {1009, 1006}


def test_others_are_served_while_one_misbehaves(desk: Device) -> None:
    # A hundred connections of garbage, half of them mute: lists are answered in between.
    rubbish = (b"", b"GET / HT", os.urandom(64), b"POST /v1/rpc HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
    silent = []
    for number in range(100):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(desk.socket))
        sock.sendall(rubbish[number % 4])
        silent.append(sock)
    assert desk.line("new", "--title", "still served")
    for sock in silent:
        sock.close()
    assert len(desk.json("sessions", "--on", "desk")) >= 1


def curl(device: Device, *words: str) -> tuple[int, str]:
    """HTTP status and body."""
    command = ["curl", "-s", "-w", "\n%{http_code}", "--max-time", "10", "--unix-socket", str(device.socket), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


RPC = "http://localhost/v1/rpc"


def test_curl_asks_and_is_answered(desk: Device) -> None:
    # DESIGN §3: `POST /v1/rpc` takes one JSON request.
    asked = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "peer.list"})
    status, body = curl(desk, "-d", asked, RPC)
    assert status == 200
    answer = json.loads(body)
    assert (answer["jsonrpc"], answer["id"]) == ("2.0", 7)
    assert {row["name"] for row in answer["result"]} == {"desk", "laptop"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", PARSE_ERROR),
        ("nonsense", PARSE_ERROR),
        (DEEP_JSON, PARSE_ERROR),
        ("[]", INVALID_REQUEST),
        ('{"jsonrpc":"2.0","method":"peer.list"}', INVALID_REQUEST),
        ('{"jsonrpc":"2.0","id":1,"method":"no.such"}', NO_METHOD),
        ('{"jsonrpc":"2.0","id":1,"method":"session.list","params":{"scope":"moon"}}', INVALID_PARAMS),
    ],
)
def test_garbage_posted_gets_an_error_object(desk: Device, tmp_path: Path, body: str, code: int) -> None:
    (tmp_path / "body").write_text(body)
    status, answer = curl(desk, "--data-binary", f"@{tmp_path / 'body'}", RPC)
    assert status == 200
    told = json.loads(answer)["error"]
    assert told["code"] == code
    assert told["message"]


def test_other_paths_methods_and_sizes_are_refused(desk: Device, tmp_path: Path) -> None:
    # T7, T8: no page, no file, no other origin.
    for path in ("", "v1", "v1/rpc", "v1/../etc/passwd", "index.html", "%2e%2e/x"):
        assert curl(desk, f"http://localhost/{path}")[0] in {404, 405}, path
    assert curl(desk, "http://localhost/v1/ws")[0] in {400, 426}
    assert curl(desk, "-H", "Origin: http://evil.example", "-d", "{}", RPC)[0] == 403
    (tmp_path / "large").write_text("x" * 300_000)
    body = curl(desk, "--data-binary", f"@{tmp_path / 'large'}", RPC)[1]
    assert json.loads(body)["error"]["data"]["kind"] == "too-large"


# --- the LAN port -------------------------------------------------------------------------------------------------


def knock(desk: Device, laptop: Device, script: str, *words: str) -> str:
    """Run a Python script on the laptop's side of the network."""
    done = laptop.host.run(["python3", "-c", script, desk.host.ipv4, "7471", *words], timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


PLAIN = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
s.settimeout(8)
s.sendall(bytes.fromhex(sys.argv[3]))
got = b""
try:
    while chunk := s.recv(4096): got += chunk
except ConnectionResetError: pass
print(got.hex())
"""


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: desk\r\n\r\n", id="http"),
        pytest.param(b"\x00\x01\x02" * 100, id="garbage"),
        pytest.param(b"SSH-2.0-x\r\n", id="ssh"),
        pytest.param(b"", id="silence"),
    ],
)
def test_whoever_speaks_no_tls_gets_not_a_byte(desk: Device, devices: tuple[Device, Device], sent: bytes) -> None:
    # T2: an unpaired device never reaches an HTTP parser; nothing tells what listens here.
    assert knock(desk, devices[1], PLAIN, sent.hex()).strip() == ""


def test_a_broken_tls_hello_gets_at_most_an_alert(desk: Device, devices: tuple[Device, Device]) -> None:
    # T2
    for hello in (b"\x16\x03\x01\x00\x05hello", b"\x16" + b"\xff" * 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"):
        answer = bytes.fromhex(knock(desk, devices[1], PLAIN, hello.hex()).strip())
        assert answer[:1] in {b"", b"\x15"}
        assert len(answer) <= 16


TLS = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
if len(sys.argv) > 4: context.maximum_version = ssl.TLSVersion.TLSv1_2
if sys.argv[3]: context.load_cert_chain(sys.argv[3])
raw = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
raw.settimeout(8)
got = b""
try:
    with context.wrap_socket(raw) as s:
        s.sendall(b"GET /v1/ws HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        while chunk := s.recv(4096): got += chunk
    print("closed", got)
except (ssl.SSLError, ConnectionResetError) as exc:
    print("refused", got)
"""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of the same kind that nobody trusts."""
    folder = tmp_path_factory.mktemp("foreign")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=desk", "-days", "9"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text(key.read_text() + certificate.read_text())
    return both


def test_tls_without_a_trusted_certificate_ends_in_a_refusal(
    desk: Device, devices: tuple[Device, Device], foreign: Path
) -> None:
    # T2: mutual TLS 1.3, pinned; not one byte of HTTP is answered.
    for words in (("",), (str(foreign),), ("", "1.2"), (str(foreign), "1.2")):
        assert knock(desk, devices[1], TLS, *words).strip() in {"refused b''", "closed b''"}, words
