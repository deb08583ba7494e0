"""Pairing over real sockets on loopback, and the attacks of FACTS on it (T3)."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.adapters.net.accept import AcceptLoop, bind
from agent.adapters.net.pairing import EXCHANGES, REFUSED, TlsPairing
from agent.adapters.net.tls import client_context, pairing_client_context, server_context
from agent.clock import SystemClock
from agent.errors import PairingFailed, PeerUnreachable, TurnedAway
from agent.ports import PairingExchange
from agent.protocol.identity import Identity
from agent.protocol.messages import PairNews
from agent.protocol.model import Endpoint
from agent.trust.devices import TrustedDevices
from agent.trust.pairing import Pairing, Window
from agent.trust.rules.handshake import Bundle, Host, Joiner, Partner, WrongCode
from tests.adapters.net.connections import LOOPBACK, device, hang_up
from tests.fakes.clock import settle
from tests.fakes.pairing import Answer, NoHousehold, PairingNet, WindowDiscovery
from tests.fakes.trust import MemoryTrust

SECRET = "913577"


class Gateway:
    """A pairing service on real sockets, without discovery."""

    def __init__(self, folder: Path, number: int, *, run_seconds: float = 30.0) -> None:
        self.identity = device(folder, number)
        self.trust = MemoryTrust()
        self.news: list[PairNews] = []
        self.more = asyncio.Event()
        self.transport = TlsPairing(self.identity, SystemClock(), LOOPBACK, run_seconds)
        self.bundle = Bundle(name=f"device{number}", port=7000 + number)
        self.service = Pairing(
            identity=self.identity,
            trusted=TrustedDevices(self.trust, SystemClock()),
            discovery=WindowDiscovery(PairingNet(), "127.0.0.1"),
            transport=self.transport,
            clock=SystemClock(),
            about=lambda: self.bundle,
            membership=NoHousehold(),
            below=lambda limit: 42 if limit == 100 else int(SECRET),
        )

    def tell(self, news: PairNews) -> None:
        self.news.append(news)
        self.more.set()

    @property
    def told(self) -> list[str]:
        return [each.what for each in self.news]


@asynccontextmanager
async def gateways(folder: Path, *, run_seconds: float = 30.0) -> AsyncIterator[tuple[Gateway, Gateway, Window]]:
    """A host with its window open, and a joiner."""
    den, lab = Gateway(folder, 1, run_seconds=run_seconds), Gateway(folder, 2, run_seconds=run_seconds)
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(each.service.run(), name="test.pairing") for each in (den, lab)]
        await asyncio.sleep(0)
        window = await den.service.open_window(60.0, den.tell)
        try:
            yield den, lab, window
        finally:
            for task in running:
                task.cancel()


async def until_told(gateway: Gateway, count: int) -> None:
    async with asyncio.timeout(5.0):
        while len(gateway.news) < count:
            gateway.more.clear()
            await gateway.more.wait()


async def tls(window: Window) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = pairing_client_context()
    return await asyncio.open_connection("127.0.0.1", window.port, ssl=context, server_hostname="")


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What still comes until the other side hangs up."""
    try:
        async with asyncio.timeout(5.0):
            return await reader.read()
    except ConnectionError:
        return b""


def framed(frame: bytes) -> bytes:
    return len(frame).to_bytes(4) + frame


async def play(gateway: Gateway, exchange: PairingExchange, secret: str) -> Partner | None:
    """A joiner's part, without a service."""
    here = Joiner(gateway.identity, secret, exchange.certificate, gateway.bundle, lambda size: b"\5" * size)
    await exchange.send(here.hello())
    await exchange.send(here.prove(await exchange.receive()))
    await exchange.send(here.thank(await exchange.receive()))
    await exchange.accepted()
    return here.partner


# --- the walk ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", LOOPBACK)
async def test_two_devices_pair_over_tls(tmp_path: Path, host: str) -> None:
    async with gateways(tmp_path) as (den, lab, window):
        paired = await lab.service.join(window.code, f"[{host}]:{window.port}")
        await until_told(den, 1)
        assert den.told == ["paired"]
        assert paired.certificate == den.identity.certificate
        assert paired.endpoints == (Endpoint(host, 7001),)
        (known,) = den.trust.devices()
        assert known.certificate == lab.identity.certificate
        assert known.endpoints == (Endpoint(host, 7002),)


async def test_the_port_exists_only_while_the_window_is_open(tmp_path: Path) -> None:
    async with gateways(tmp_path) as (den, lab, window):
        await lab.service.join(window.code, f"127.0.0.1:{window.port}")
        await until_told(den, 1)
        with pytest.raises(PeerUnreachable, match=f"port {window.port}"):
            await lab.service.join("17-195-365", f"127.0.0.1:{window.port}")
        with pytest.raises(PairingFailed, match="used"):  # a code that it used itself is known to be over
            await lab.service.join(window.code, f"127.0.0.1:{window.port}")


async def test_a_dead_address_of_a_window_does_not_hinder_the_others(tmp_path: Path) -> None:
    async with gateways(tmp_path) as (_, lab, window):
        with socket.create_server(("127.0.0.1", 0)) as gone:
            dead = Endpoint("127.0.0.1", gone.getsockname()[1])
        endpoints = [dead, Endpoint("::1", window.port)]
        async with lab.transport.connect(endpoints) as exchange:
            assert await play(lab, exchange, SECRET) is not None


async def test_an_address_where_something_else_answers_is_told_apart_from_one_where_nothing_does(
    tmp_path: Path,
) -> None:
    async with gateways(tmp_path) as (den, lab, window):

        async def other_program(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0-other\r\n")
            await writer.drain()
            writer.close()

        own = AcceptLoop(
            bind(0, ["127.0.0.1"]),
            lambda: server_context(den.identity, [lab.identity.certificate]),
            asyncio.Protocol,
            SystemClock(),
        )
        ssh = await asyncio.start_server(other_program, "127.0.0.1", 0)
        serving = asyncio.get_running_loop().create_task(own.run())
        async with ssh:
            for port in (own.endpoints[0].port, ssh.sockets[0].getsockname()[1]):
                with pytest.raises(
                    PeerUnreachable, match=f"what answers at 127.0.0.1 port {port} is no pairing window"
                ):
                    await lab.service.join(window.code, f"127.0.0.1:{port}")
        serving.cancel()
        await asyncio.wait([serving])
        own.close()
        with pytest.raises(PeerUnreachable, match=r"no address is known for nowhere\.invalid"):
            await lab.service.join(window.code, "nowhere.invalid:7471")
        assert (await lab.service.join(window.code, f"127.0.0.1:{window.port}")).certificate == den.identity.certificate


async def test_three_wrong_codes_over_the_wire(tmp_path: Path) -> None:
    async with gateways(tmp_path) as (den, lab, window):
        for _ in range(3):
            with pytest.raises(WrongCode):
                await lab.service.join("42-000-000", f"127.0.0.1:{window.port}")
        await until_told(den, 4)
        assert den.told == ["wrong-code"] * 3 + ["exhausted"]
        with pytest.raises(PeerUnreachable):
            await lab.service.join(window.code, f"127.0.0.1:{window.port}")
        assert den.trust.devices() == lab.trust.devices() == []


async def test_a_refusal_says_one_word_and_no_reason(tmp_path: Path) -> None:
    async with gateways(tmp_path) as (_, __, window):
        reader, writer = await tls(window)
        writer.write(framed(b"\x80"))
        assert await rest(reader) == framed(REFUSED)
        await hang_up(writer)


# --- hostile bytes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "tries_used"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 0),  # as a length it is 1.2 GB
        (b"\xff\xff\xff\xff", 0),  # 4 GiB
        ((4097).to_bytes(4), 0),
        (b"\0\0", 0),
        (framed(b""), 1),
        (framed(b"\x91" * 4096), 1),  # depth
        (framed(b"\xdd\xff\xff\xff\xff"), 1),  # an array of 4 G entries
        (framed(b"\x81\xa4type\xa5\xff\xff\xff\xff\xff"), 1),  # not UTF-8
        (framed(b"\xc1"), 1),
        (framed(REFUSED), 0),
    ],
)
async def test_hostile_first_bytes_end_the_connection_alone(tmp_path: Path, data: bytes, tries_used: int) -> None:
    async with gateways(tmp_path) as (den, lab, window):
        reader, writer = await tls(window)
        writer.write(data)
        if len(data) > 2:  # of less the host waits for more
            assert await rest(reader) == (framed(REFUSED) if tries_used else b"")
        await hang_up(writer)
        await lab.service.join(window.code, f"127.0.0.1:{window.port}")
        await until_told(den, tries_used + 1)
        assert den.told == ["failed"] * tries_used + ["paired"]


async def test_what_is_not_tls_1_3_is_refused(tmp_path: Path) -> None:
    async with gateways(tmp_path) as (den, lab, window):
        reader, writer = await asyncio.open_connection("127.0.0.1", window.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: den\r\n\r\n")
        assert await rest(reader) == b""
        await hang_up(writer)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode, old.maximum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await asyncio.open_connection("127.0.0.1", window.port, ssl=old)
        await lab.service.join(window.code, f"127.0.0.1:{window.port}")
        await until_told(den, 1)
        assert den.told == ["paired"]


async def test_a_link_cannot_be_made_to_a_pairing_window(tmp_path: Path) -> None:
    async with gateways(tmp_path) as (den, lab, window):
        context = client_context(lab.identity, den.identity.certificate)
        reader, writer = await asyncio.open_connection("127.0.0.1", window.port, ssl=context, server_hostname="")
        writer.write(b"GET /v1/ws HTTP/1.1\r\n\r\n")
        assert await rest(reader) == b""
        await hang_up(writer)
        assert den.news == []


# --- the slow and the many ---------------------------------------------------------------------------------


async def test_a_joiner_that_stands_still_is_given_up(tmp_path: Path) -> None:
    async with gateways(tmp_path, run_seconds=0.2) as (den, lab, window):
        async with lab.transport.connect([Endpoint("127.0.0.1", window.port)]) as exchange:
            here = Joiner(lab.identity, SECRET, exchange.certificate, lab.bundle, lambda size: b"\5" * size)
            await exchange.send(here.hello())
            await until_told(den, 1)
        assert den.news == [PairNews(what="failed", tries_left=2, failed=1)]


async def test_a_host_that_stands_still_is_given_up(tmp_path: Path) -> None:
    lab, silent = Gateway(tmp_path, 2, run_seconds=0.2), Gateway(tmp_path, 3)

    async def say_nothing(_: PairingExchange) -> None:
        await asyncio.Event().wait()

    async with serving(silent, say_nothing) as endpoint:
        with pytest.raises(PairingFailed, match="too slow"):
            await lab.service.join("42-913-577", f"127.0.0.1:{endpoint.port}")
    assert lab.trust.devices() == []


async def test_silent_connections_do_not_keep_a_joiner_out(tmp_path: Path) -> None:
    async with gateways(tmp_path) as (den, lab, window):
        held = [await tls(window) for _ in range(EXCHANGES + 4)]
        assert await rest(held[0][0]) == b""  # the oldest made room
        await lab.service.join(window.code, f"127.0.0.1:{window.port}")
        await until_told(den, 1)
        assert den.told == ["paired"]
        for _, writer in held:
            await hang_up(writer)


async def test_t11_messages_that_are_begun_and_never_end_do_not_keep_a_joiner_out(tmp_path: Path) -> None:
    async with gateways(tmp_path) as (den, lab, window):
        held = [await tls(window) for _ in range(EXCHANGES)]
        for _, writer in held:
            writer.write((100).to_bytes(4))
            await writer.drain()
        await settle()  # until each was read
        await lab.service.join(window.code, f"127.0.0.1:{window.port}")
        await until_told(den, 1)
        assert "paired" in den.told
        for _, writer in held:
            await hang_up(writer)


async def test_a_joiner_that_is_refused_is_told_from_one_that_lost_the_connection(tmp_path: Path) -> None:
    async def refuse(exchange: PairingExchange) -> None:
        await exchange.end(accepted=False)

    async def hang_up_at_once(_: PairingExchange) -> None:
        return

    async def never_confirm(exchange: PairingExchange) -> None:
        host = Host(den.identity, SECRET, den.bundle, lambda size: b"\6" * size)
        await exchange.send(host.reply(await exchange.receive()))
        await exchange.send(host.grant(await exchange.receive()))
        host.finish(await exchange.receive())

    den, lab = Gateway(tmp_path, 1), Gateway(tmp_path, 2)
    async with serving(den, refuse) as endpoint:
        with pytest.raises(TurnedAway):
            await lab.service.join("42-913-577", f"127.0.0.1:{endpoint.port}")
    for answer, error in ((hang_up_at_once, PeerUnreachable), (never_confirm, PairingFailed)):
        async with serving(den, answer) as endpoint:
            with pytest.raises(error, match=r"hung up|broke|just closed"):
                await lab.service.join("42-913-577", f"127.0.0.1:{endpoint.port}")
    assert lab.trust.devices() == []


# --- in the middle -------------------------------------------------------------------------------------------


@asynccontextmanager
async def serving(gateway: Gateway, answer: Answer) -> AsyncIterator[Endpoint]:
    """A window whose owner does what it likes."""
    opened: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(gateway.transport.serve(opened.set_result, answer), name="test.serve")
        try:
            yield Endpoint("127.0.0.1", await opened)
        finally:
            task.cancel()


async def test_a_relay_in_the_middle_pairs_with_nobody(tmp_path: Path) -> None:
    # Mallory shows her own certificate to lab and passes every message on to den, both ways.
    mallory = Gateway(tmp_path, 3)
    async with gateways(tmp_path) as (den, lab, window):

        async def relay(here: PairingExchange) -> None:
            async with mallory.transport.connect([Endpoint("127.0.0.1", window.port)]) as there:
                for _ in range(2):
                    await there.send(await here.receive())
                    await here.send(await there.receive())

        async def tolerant(here: PairingExchange) -> None:
            try:
                await relay(here)
            except PairingFailed:
                await here.end(accepted=False)

        async with serving(mallory, tolerant) as endpoint:
            with pytest.raises(PairingFailed, match="in between"):
                await lab.service.join(window.code, f"127.0.0.1:{endpoint.port}")
        await until_told(den, 1)
        assert den.told == ["failed"]
        assert den.trust.devices() == lab.trust.devices() == []


async def test_a_recorded_run_cannot_be_replayed_under_the_same_code(tmp_path: Path) -> None:
    recorded: list[bytes] = []
    async with gateways(tmp_path) as (den, lab, window):
        async with lab.transport.connect([Endpoint("127.0.0.1", window.port)]) as exchange:
            send = exchange.send

            async def record(frame: bytes) -> None:
                recorded.append(frame)
                await send(frame)

            exchange.send = record  # type: ignore[method-assign] # the attacker's tap
            assert await play(lab, exchange, SECRET) is not None
        await until_told(den, 1)
        again = await den.service.open_window(60.0, den.tell)
        assert again.code == window.code
        async with lab.transport.connect([Endpoint("127.0.0.1", again.port)]) as exchange:
            await exchange.send(recorded[0])
            await exchange.receive()
            await exchange.send(recorded[1])
            with pytest.raises(TurnedAway):
                await exchange.receive()
        await until_told(den, 2)
        assert den.told == ["paired", "wrong-code"]


async def test_somebody_elses_certificate_is_of_no_use(tmp_path: Path) -> None:
    # The thief has the code, and the certificate of lab, but not its key.
    thief = Gateway(tmp_path, 3)
    thief.identity = Identity(
        key=thief.identity.key, certificate=device(tmp_path, 2).certificate, pem_path=thief.identity.pem_path
    )
    async with gateways(tmp_path) as (den, _, window):
        async with thief.transport.connect([Endpoint("127.0.0.1", window.port)]) as exchange:
            with pytest.raises(TurnedAway):
                await play(thief, exchange, SECRET)
        await until_told(den, 1)
        assert den.told == ["failed"]
        assert den.trust.devices() == []
