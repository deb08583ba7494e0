from __future__ import annotations

import asyncio
import gc
import resource
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from agent.adapters.net.accept import (
    DEFAULT_LIMITS,
    KNOWN_FOR,
    ORIGINS_MAX,
    AcceptLoop,
    Limits,
    _Budgets,
    bind,
    origin_of,
)
from agent.adapters.net.listener import Listener
from agent.adapters.net.tls import client_context, pairing_client_context, server_context
from agent.clock import SystemClock
from agent.errors import ConfigError
from agent.protocol.identity import Identity
from agent.protocol.model import Endpoint
from agent.protocol.ratelimit import Rate
from tests.adapters.net.connections import LOOPBACK, Echo, ask, attach, device, dial, hang_up, listening
from tests.fakes.clock import FakeClock, settle, turns

QUICK = Limits(hello=0.05, handshake=0.2)


async def raw(endpoint: Endpoint) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (endpoint.host, endpoint.port))
    except OSError:
        sock.close()
        raise
    return sock


async def answer_to(sock: socket.socket, data: bytes) -> bytes:
    """Everything that comes back until the other side hangs up."""
    loop = asyncio.get_running_loop()
    if data:
        await loop.sock_sendall(sock, data)
    received = b""
    with sock:
        try:
            while more := await loop.sock_recv(sock, 4096):
                received += more
        except ConnectionResetError:
            pass
    return received


# --- who gets in ------------------------------------------------------------


async def test_a_trusted_device_gets_in_over_ipv4_and_ipv6(tmp_path: Path) -> None:  # T2
    den, lab = device(tmp_path, 1), device(tmp_path, 2)
    async with listening(den) as server:
        server.trust([lab.certificate])
        assert [endpoint.host for endpoint in server.endpoints] == list(LOOPBACK)
        assert len({endpoint.port for endpoint in server.endpoints}) == 1
        for endpoint in server.endpoints:
            assert await ask(endpoint, client_context(lab, den.certificate)) == b"PING"


async def test_a_stranger_reaches_no_protocol(tmp_path: Path) -> None:  # T2
    den, lab, stranger = (device(tmp_path, number) for number in (1, 2, 3))
    made: list[Echo] = []

    def protocol() -> Echo:
        made.append(Echo())
        return made[-1]

    async with listening(den, protocol) as server:
        server.trust([lab.certificate])
        assert await attach(server, stranger, den) == b""
        assert await ask(server.endpoints[0], pairing_client_context()) == b""
        assert made == []
        assert await attach(server, lab, den) == b"PING"
        assert len(made) == 1


async def test_gate_two_refuses_what_the_trust_store_lets_in(tmp_path: Path) -> None:  # T2
    # As if the context were older than the list, or a certificate in it had vouched for another.
    den, lab, stranger = (device(tmp_path, number) for number in (1, 2, 3))
    async with listening(den) as server:
        server.trust([lab.certificate])
        server._context = server_context(den, [lab.certificate, stranger.certificate])
        assert await attach(server, stranger, den) == b""
        assert server.connections(stranger.id) == 0
        assert await attach(server, lab, den) == b"PING"


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\nHost: den\r\n\r\n", b"\0", b"\x80\x2e\1\3\1", b"SSH-2.0-x\r\n", b"\x16" + b"\xff" * 600],
    ids=["http", "zero", "ssl 2", "ssh", "garbage after the first byte"],
)
async def test_what_is_not_tls_gets_no_answer_but_an_alert(tmp_path: Path, data: bytes) -> None:
    async with listening(device(tmp_path, 1)) as server:
        answer = await answer_to(await raw(server.endpoints[0]), data)
        assert answer == b"" or answer[:1] == b"\x15"  # TLS alert
        assert len(answer) < 16


async def test_a_silent_connection_is_dropped(tmp_path: Path) -> None:
    async with listening(device(tmp_path, 1), limits=QUICK) as server:
        assert await answer_to(await raw(server.endpoints[0]), b"") == b""


async def test_a_handshake_that_stands_still_is_dropped(tmp_path: Path) -> None:
    async with listening(device(tmp_path, 1), limits=QUICK) as server:
        assert await answer_to(await raw(server.endpoints[0]), b"\x16\3\1\1\0") == b""


# --- trust that changes ------------------------------------------------------------


async def test_trust_changes_without_another_listener(tmp_path: Path) -> None:  # T2
    den, lab, pad = (device(tmp_path, number) for number in (1, 2, 3))
    async with listening(den) as server:
        server.trust([lab.certificate])
        assert await attach(server, pad, den) == b""
        server.trust([lab.certificate, pad.certificate])
        assert await attach(server, pad, den) == b"PING"
        server.trust([pad.certificate])
        assert await attach(server, lab, den) == b""
        assert await attach(server, pad, den) == b"PING"


async def test_a_device_that_is_no_longer_trusted_is_cut_off_at_once(tmp_path: Path) -> None:  # T4
    den, lab, pad = (device(tmp_path, number) for number in (1, 2, 3))
    async with listening(den) as server:
        server.trust([lab.certificate, pad.certificate])
        theirs, writer = await dial(server.endpoints[0], client_context(lab, den.certificate))
        kept, kept_writer = await dial(server.endpoints[0], client_context(pad, den.certificate))
        for reader, each in ((theirs, writer), (kept, kept_writer)):
            each.write(b"ping")
            assert await reader.readexactly(4) == b"PING"
        server.trust([pad.certificate])
        assert await theirs.read() == b""
        kept_writer.write(b"ping")
        assert await kept.readexactly(4) == b"PING"
        assert (server.connections(lab.id), server.connections(pad.id)) == (0, 1)
        await hang_up(writer)
        await hang_up(kept_writer)


async def test_a_session_from_before_a_revocation_cannot_be_resumed(tmp_path: Path) -> None:
    den, lab = device(tmp_path, 1), device(tmp_path, 2)
    async with listening(den) as server:
        server.trust([lab.certificate])
        context = client_context(lab, den.certificate)
        host, port = server.endpoints[0].host, server.endpoints[0].port

        def visit(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bytes]:
            with socket.create_connection((host, port)) as plain:
                try:
                    with context.wrap_socket(plain, session=session) as sock:
                        sock.sendall(b"ping")
                        return sock.session, sock.recv(4)
                except OSError:
                    return None, b""

        session, answer = await asyncio.to_thread(visit, None)
        assert (session is not None, answer) == (True, b"PING")
        server.trust([])
        assert (await asyncio.to_thread(visit, session))[1] == b""


async def test_no_connect_is_lost_while_trust_changes(tmp_path: Path) -> None:  # T2
    den, lab, pad = (device(tmp_path, number) for number in (1, 2, 3))
    async with listening(den) as server:
        server.trust([lab.certificate])
        answers: list[bytes] = []

        async def connect() -> None:
            answers.extend([await attach(server, lab, den) for _ in range(10)])

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(connect(), name="test.connect")
            for swap in range(30):
                server.trust([lab.certificate, pad.certificate] if swap % 2 else [lab.certificate])
                await turns(5)
        assert answers == [b"PING"] * 40


async def test_connections_of_a_device_can_be_counted_and_cut(tmp_path: Path) -> None:
    den, lab = device(tmp_path, 1), device(tmp_path, 2)
    async with listening(den) as server:
        server.trust([lab.certificate])
        reader, writer = await dial(server.endpoints[0], client_context(lab, den.certificate))
        writer.write(b"ping")
        await reader.readexactly(4)
        assert server.cut(den.id) == 0
        assert server.cut(lab.id) == 1
        assert await reader.read() == b""
        assert server.connections(lab.id) == 0
        await hang_up(writer)
        assert await attach(server, lab, den) == b"PING"  # it is trusted still


async def test_a_device_holds_a_bounded_number_of_connections(tmp_path: Path) -> None:
    den, lab = device(tmp_path, 1), device(tmp_path, 2)
    async with listening(den, limits=Limits(connections=2)) as server:
        server.trust([lab.certificate])
        open_: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        for _ in range(3):
            reader, writer = await dial(server.endpoints[0], client_context(lab, den.certificate))
            writer.write(b"ping")
            assert await reader.readexactly(4) == b"PING"
            open_.append((reader, writer))
        assert await open_[0][0].read() == b""  # the oldest made room
        assert server.connections(lab.id) == 2
        for _, writer in open_:
            await hang_up(writer)


# --- floods ------------------------------------------------------------


async def test_a_paired_device_attaches_during_a_flood_of_silent_connects(tmp_path: Path) -> None:  # T2
    den, lab = device(tmp_path, 1), device(tmp_path, 2)
    async with listening(den) as server:
        server.trust([lab.certificate])
        held: list[socket.socket] = []

        async def flood() -> None:
            held.extend([await raw(server.endpoints[0]) for _ in range(50)])

        answers = []
        for _ in range(16):
            async with asyncio.TaskGroup() as group:
                group.create_task(flood(), name="test.flood")
                answers.append(await attach(server, lab, den))
        assert len(held) == 800
        assert answers == [b"PING"] * 16
        assert len(server._loop._waiting._held) <= DEFAULT_LIMITS.waiting
        for sock in held:
            sock.close()


async def test_a_paired_device_attaches_while_handshakes_are_held_open(tmp_path: Path) -> None:
    den, lab = device(tmp_path, 1), device(tmp_path, 2)
    async with listening(den) as server:
        server.trust([lab.certificate])
        held = [await raw(server.endpoints[0]) for _ in range(64)]
        for sock in held:
            await asyncio.get_running_loop().sock_sendall(sock, b"\x16\3\1\1\0")
        assert [await attach(server, lab, den) for _ in range(3)] == [b"PING"] * 3
        assert len(server._loop._handshakes._held) <= DEFAULT_LIMITS.handshakes
        for sock in held:
            sock.close()


async def test_a_flood_from_one_place_pushes_out_itself(tmp_path: Path) -> None:
    async with listening(device(tmp_path, 1), limits=Limits(waiting=4)) as server:
        over_ipv4, over_ipv6 = server.endpoints
        quiet = await raw(over_ipv6)
        await settle()  # let it be accepted before the flood: another socket, another accept task
        flood = [await raw(over_ipv4) for _ in range(20)]
        assert [await answer_to(sock, b"") for sock in flood[:10]] == [b""] * 10
        with pytest.raises(BlockingIOError):
            quiet.recv(1)  # still waits
        for sock in (quiet, *flood):
            sock.close()


async def test_connections_that_are_dropped_in_the_turn_they_came_in_are_closed(tmp_path: Path) -> None:
    async with listening(device(tmp_path, 1), limits=Limits(waiting=4)) as server:
        endpoint = server.endpoints[0]
        flood = [socket.create_connection((endpoint.host, endpoint.port)) for _ in range(20)]  # all in the backlog
        for sock in flood:
            sock.setblocking(False)
        assert [await answer_to(sock, b"") for sock in flood[:16]] == [b""] * 16
        assert len(server._loop._waiting._held) == 4
        for sock in flood:
            sock.close()


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("192.168.1.7", "192.168.1.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("not an address", "not an address"),
    ],
)
def test_ipv6_is_counted_by_network(host: str, origin: str) -> None:
    assert origin_of(host) == origin


# --- the socket ------------------------------------------------------------


def test_a_port_in_use_is_a_clear_error() -> None:
    (first,) = bind(0, ("127.0.0.1",))
    port = first.getsockname()[1]
    with first, pytest.raises(ConfigError, match=f"port {port} is in use"):
        bind(port, ("127.0.0.1",))


def test_an_address_that_is_not_here_is_left_out() -> None:
    (only,) = bind(0, ("192.0.2.1", "127.0.0.1"))
    with only:
        assert only.getsockname()[0] == "127.0.0.1"
    with pytest.raises(ConfigError, match="cannot listen"):
        bind(0, ("192.0.2.1",))


def test_both_families_share_a_port_that_can_be_asked_for() -> None:
    sockets = bind(0)
    port = sockets[0].getsockname()[1]
    assert {sock.getsockname()[1] for sock in sockets} == {port}
    for sock in sockets:
        sock.close()
    again = bind(port)
    assert again[0].getsockname()[1] == port
    for sock in again:
        sock.close()


async def test_a_stopped_listener_is_closed_and_leaves_connections_alone(tmp_path: Path) -> None:
    den, lab = device(tmp_path, 1), device(tmp_path, 2)
    async with listening(den) as server:
        endpoint = server.endpoints[0]
        server.trust([lab.certificate])
        reader, writer = await dial(endpoint, client_context(lab, den.certificate))
        writer.write(b"ping")
        await reader.readexactly(4)
    with pytest.raises(ConnectionRefusedError):
        await raw(endpoint)
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"PING"
    await hang_up(writer)
    server.cut(lab.id)
    await asyncio.sleep(0)


async def test_the_loop_survives_a_client_that_leaves_early(tmp_path: Path) -> None:
    den, lab = device(tmp_path, 1), device(tmp_path, 2)
    async with listening(den) as server:
        server.trust([lab.certificate])
        for _ in range(20):
            sock = await raw(server.endpoints[0])
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset instead of a goodbye
            sock.close()
        assert await attach(server, lab, den) == b"PING"


async def test_the_loop_survives_a_process_without_free_descriptors(tmp_path: Path) -> None:
    den, lab = device(tmp_path, 1), device(tmp_path, 2)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with listening(den) as server:
        server.trust([lab.certificate])
        endpoint = server.endpoints[0]
        with socket.socket() as sock:
            sock.setblocking(False)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # those open stay, no other can be opened
            try:
                await asyncio.get_running_loop().sock_connect(sock, (endpoint.host, endpoint.port))
                await settle()
                assert not server._loop._waiting._held
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert await attach(server, lab, den) == b"PING"


async def test_a_loop_that_is_cancelled_closes_what_waits(tmp_path: Path) -> None:
    den = device(tmp_path, 1)
    loop = AcceptLoop(bind(0, ("127.0.0.1",)), lambda: server_context(den, ()), Echo, SystemClock())
    async with asyncio.TaskGroup() as group:
        running = group.create_task(loop.run(), name="test.loop")
        sock = await raw(loop.endpoints[0])
        await settle()
        running.cancel()
    loop.close()
    assert await answer_to(sock, b"") == b""


# --- half-open handshakes ----------------------------------------------------


def client_hello() -> bytes:
    """The first record of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = pairing_client_context().wrap_bio(incoming, outgoing)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@asynccontextmanager
async def counting(tmp_path: Path, limits: Limits) -> AsyncIterator[tuple[Endpoint, list[str]]]:
    """An accept loop, and an entry for each handshake that it has begun."""
    den, begun = device(tmp_path, 1), list[str]()

    def context() -> ssl.SSLContext:
        begun.append("handshake")
        return server_context(den, ())

    loop = AcceptLoop(bind(0, ("127.0.0.1",)), context, Echo, FakeClock(), limits)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(loop.run(), name="test.loop")
        yield loop.endpoints[0], begun
        running.cancel()
    loop.close()


async def came(endpoint: Endpoint, data: bytes) -> socket.socket:
    sock = await raw(endpoint)
    if data:
        await asyncio.get_running_loop().sock_sendall(sock, data)
    return sock


@pytest.mark.parametrize("part", [1, 5, 6, 20, -1])
async def test_t11_a_client_hello_that_is_begun_costs_no_tls(tmp_path: Path, part: int) -> None:
    """Each cost 64 KiB and more until the garbage was collected: 800 a second took 60 MiB (measured)."""
    hello = client_hello()
    async with counting(tmp_path, Limits(hello=0.2, handshake=0.2)) as (endpoint, begun):
        held = [await came(endpoint, hello[:part]) for _ in range(50)]
        for sock in held:
            assert await answer_to(sock, b"") == b""  # after 0.2 s
        assert begun == []
        assert b"\x16\x03\x03" in await answer_to(await came(endpoint, hello), b"")  # a whole one is answered
        assert begun == ["handshake"]


async def test_t11_a_handshake_that_was_pushed_out_leaves_no_tls_behind(tmp_path: Path) -> None:
    """Each left its TLS in a circle of task, error and frame: 14 MiB in each flood from 200 origins (measured)."""
    hello = client_hello()
    async with counting(tmp_path, Limits(handshakes=2)) as (endpoint, begun):
        gc.collect()
        gc.disable()
        try:
            held = [await came(endpoint, hello) for _ in range(20)]
            for sock in held[:-2]:
                await answer_to(sock, b"")  # pushed out by those that came after it
            assert len(begun) == 20
            assert sum(isinstance(each, asyncio.sslproto.SSLProtocol) for each in gc.get_objects()) <= 3
        finally:
            gc.enable()
        for sock in held[-2:]:
            sock.close()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="no-tls"),
        pytest.param(b"\x16\x03\x01\xff\xff\x01" + bytes(100), id="longer-than-any"),
        pytest.param(b"\x16\x03\x01\x00\x00\x01", id="empty"),
        pytest.param(b"\x16\x03\x01\x00\x64\x02" + bytes(100), id="another-message"),
    ],
)
async def test_t11_what_is_no_client_hello_is_not_handed_to_tls(tmp_path: Path, data: bytes) -> None:
    async with counting(tmp_path, Limits()) as (endpoint, begun):
        await answer_to(await came(endpoint, data), b"")
        assert begun == []


async def test_a_client_hello_may_come_in_pieces(tmp_path: Path) -> None:
    hello = client_hello()
    async with counting(tmp_path, Limits()) as (endpoint, begun):
        sock = await came(endpoint, hello[:3])
        for at in range(3, len(hello), 100):
            await asyncio.sleep(0)
            await asyncio.get_running_loop().sock_sendall(sock, hello[at : at + 100])
        assert await asyncio.get_running_loop().sock_recv(sock, 3) == b"\x16\x03\x03"
        assert begun == ["handshake"]
        sock.close()


async def test_t11_one_origin_begins_so_many_handshakes_and_no_more(tmp_path: Path) -> None:
    limits = Limits(of_known=Rate(60.0, 5))  # as everybody on this machine has
    async with counting(tmp_path, limits) as (endpoint, begun):
        for _ in range(20):
            await answer_to(await came(endpoint, client_hello() + b"garbage"), b"")
        assert len(begun) == 5


def test_t11_strangers_together_use_up_their_budget_and_no_paired_device_s() -> None:
    clock = FakeClock()
    limits = Limits(of_known=Rate(60.0, 5), of_strangers=Rate(60.0, 20), first=0)
    budgets = _Budgets(limits, clock, lambda: ["10.0.0.7", "fe80::7%eth0"])
    begun = [budgets.take(budgets.origin(f"10.0.1.{number}")) for number in range(200)]
    assert begun.count(True) == 20
    assert [budgets.take(budgets.origin("10.0.0.7")) for _ in range(6)] == [True] * 5 + [False]
    # The link-local addresses of all are one origin: a device that is known there is not counted with the others.
    assert not budgets.take(budgets.origin("fe80::8%eth0"))
    assert budgets.take(budgets.origin("fe80::7%eth0"))
    assert len(budgets._origins) <= ORIGINS_MAX


async def test_t11_one_stranger_does_not_use_up_the_handshakes_of_all_unknown_addresses() -> None:
    """One at 60 handshakes a second kept a paired device at a new address out for as long as it went on."""
    clock = FakeClock()
    budgets = _Budgets(DEFAULT_LIMITS, clock, tuple)
    begun = 0
    for _ in range(60 * 60):
        begun += budgets.take(budgets.origin("10.0.0.66"))
        await clock.advance(1 / 60)
    assert begun <= 8 + 2 * 60
    assert all(budgets.take(budgets.origin("10.0.0.7")) for _ in range(8))
    assert budgets._strangers.take(clock.monotonic(), 50) == 0.0


async def test_t11_the_first_handshakes_of_a_new_origin_need_nothing_of_the_strangers_budget() -> None:
    clock = FakeClock()
    budgets = _Budgets(DEFAULT_LIMITS, clock, tuple)
    for _ in range(200):  # thirty strangers take all there is
        for number in range(30):
            budgets.take(budgets.origin(f"10.0.1.{number}"))
        await clock.advance(0.1)
    while budgets._strangers.take(clock.monotonic()) == 0.0:
        pass
    assert [budgets.take(budgets.origin("10.0.0.7")) for _ in range(DEFAULT_LIMITS.first)] == [True] * 4


async def test_t11_whoever_comes_from_ever_new_origins_has_a_budget_too() -> None:
    clock = FakeClock()
    budgets = _Budgets(DEFAULT_LIMITS, clock, tuple)
    begun = 0
    for number in range(6000):
        begun += budgets.take(budgets.origin(f"10.{number // 200}.0.{number % 200}"))
        await clock.advance(0.01)
    assert begun <= 64 + 600 + 64 + 1200
    assert len(budgets._origins) <= ORIGINS_MAX


async def test_an_address_at_which_a_device_is_paired_counts_within_a_second() -> None:
    clock, known = FakeClock(), list[str]()
    budgets = _Budgets(Limits(of_strangers=Rate(0.0001, 1), first=0), clock, lambda: known)
    assert budgets.take(budgets.origin("10.0.0.9"))
    assert not budgets.take(budgets.origin("10.0.0.7"))
    known.append("10.0.0.7")
    await clock.advance(KNOWN_FOR)
    assert budgets.take(budgets.origin("10.0.0.7"))


# --- with aiohttp ------------------------------------------------------------


@asynccontextmanager
async def serving_http(identity: Identity) -> AsyncIterator[Listener]:
    """An aiohttp application behind the gates, whose one page says who asks."""
    listeners: list[Listener] = []

    async def whoami(request: web.Request) -> web.Response:
        return web.Response(text=listeners[0].device_of(request.transport) or "nobody")

    app = web.Application()
    app.router.add_get("/", whoami)
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    async with listening(identity, runner.server) as listener:
        listeners.append(listener)
        try:
            yield listener
        finally:
            await runner.cleanup()


async def test_a_handler_knows_the_device_of_each_request(tmp_path: Path) -> None:
    den, lab = device(tmp_path, 1), device(tmp_path, 2)
    async with serving_http(den) as server, aiohttp.ClientSession() as client:
        server.trust([lab.certificate])
        url, context = f"https://127.0.0.1:{server.endpoints[0].port}/", client_context(lab, den.certificate)
        for _ in range(2):
            async with client.get(url, ssl=context) as response:
                assert await response.text() == lab.id
        server.trust([])
        with pytest.raises(aiohttp.ClientError):
            await client.get(url, ssl=context)


# --- paired, and idle -----------------------------------------------------------------------------------------------


async def test_a_connection_that_becomes_no_link_is_cut(tmp_path: Path) -> None:  # FACTS-SECURITY §3, first request
    den, lab = device(tmp_path, 1), device(tmp_path, 2)
    async with listening(den, limits=Limits(first_request=0.2)) as server:
        server.trust([lab.certificate])
        mute, mute_writer = await dial(server.endpoints[0], client_context(lab, den.certificate))
        slow, slow_writer = await dial(server.endpoints[0], client_context(lab, den.certificate))
        slow_writer.write(b"ping")  # what arrives does not prolong it
        assert await slow.readexactly(4) == b"PING"
        link, link_writer = await dial(server.endpoints[0], client_context(lab, den.certificate))
        link_writer.write(b"ping")
        assert await link.readexactly(4) == b"PING"
        server.linked(list(server._open[lab.id])[-1])
        assert await mute.read() == b""
        assert await slow.read() == b""
        link_writer.write(b"ping")
        assert await link.readexactly(4) == b"PING"
        assert server.connections(lab.id) == 1
        for writer in (mute_writer, slow_writer, link_writer):
            await hang_up(writer)
    assert server._silent == {}
