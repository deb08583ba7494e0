"""What a stranger's packets leave in zeroconf's cache, and what that does to our questions (T11)."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest
from zeroconf import (  # type: ignore[attr-defined]  # public, but its `__all__` forgets the records
    DNSAddress,
    DNSCache,
    DNSIncoming,
    DNSPointer,
    DNSRecord,
    DNSService,
    DNSText,
    RecordUpdate,
    Zeroconf,
)
from zeroconf._handlers.record_manager import RecordManager
from zeroconf._history import QuestionHistory

from agent.adapters.discovery.instances import MAX_INSTANCES, Decode, Instances, join_text
from agent.adapters.discovery.interfaces import Interface
from agent.adapters.discovery.mdns.cache import PER_NAME, TEXT_MAX, UNSWEPT, WINDOWS_MAX
from agent.adapters.discovery.mdns.names import PAIR_TYPE, TYPE, is_sendable
from agent.adapters.discovery.mdns.network import Lookup, RecordListener
from agent.ports import Heard, Sighting
from agent.presence.rules.txt import decode
from agent.protocol.model import DeviceId, PresenceRecord
from tests.attacks.dns_fuzz import DnsFuzz
from tests.e2e.packets import PTR, SRV, TXT, TYPE_NAME, A, instance_name, name, record, response
from tests.fakes.clock import FakeClock

BAD = bytes([63]) + b"\xff" * 63
"""A label that is no UTF-8: it is read as 63 characters of 3 bytes each."""
LAN = (Interface("eth0", 2, True, ("10.0.0.1/24",)),)


class Network:
    """Discovery's listener behind zeroconf's own reading of packets; nothing is sent but into `asked`."""

    def __init__(self, decode: Decode = decode) -> None:
        self.clock = FakeClock()
        self.heard: list[Sighting] = []
        self.asked: list[bytes] = []
        self.windows = False
        self.zeroconf = cast("Zeroconf", SimpleNamespace(cache=DNSCache(), question_history=QuestionHistory()))
        zeroconf: Any = self.zeroconf
        zeroconf.async_notify_all = lambda: None
        zeroconf.async_add_listener = lambda *_: None
        zeroconf.async_remove_listener = lambda _: None
        zeroconf.async_send = lambda out, *_: self.asked.extend(out.packets())
        zeroconf.started, zeroconf.done, zeroconf.loop = True, False, None
        self.lookup = Lookup(self.zeroconf, TYPE, lambda: LAN, resolving=5)
        self.table = Instances(
            own=DeviceId("o" * 16), clock=self.clock, decode=decode, network=self.lookup, tell=self.heard.append
        )
        self._manager = RecordManager(self.zeroconf)
        self._manager.async_add_listener(RecordListener(self.table, self), None)

    def is_own(self, name: str) -> bool:
        return False

    def is_ours(self, record: DNSText | DNSService) -> bool:
        return False

    def seeks_windows(self) -> bool:
        return self.windows

    def hear(self, packet: bytes) -> None:
        self.take(DNSIncoming(packet))

    def take(self, packet: DNSIncoming) -> None:
        self._manager.async_updates_from_response(packet)

    def records(self) -> list[DNSRecord]:
        return [each for records in self.zeroconf.cache.cache.values() for each in records.values()]

    def kept(self) -> set[type]:
        return {type(each) for each in self.records()}


def announced(instance: bytes, server: bytes) -> bytes:
    text = join_text([b"id=abcdefghijklmnop", b"r=1", b"n=den"])
    return response(
        record(TYPE_NAME, PTR, 4500, instance),
        record(instance, SRV, 120, bytes(4) + (4000).to_bytes(2) + server, flush=True),
        record(instance, TXT, 4500, text, flush=True),
        record(server, A, 120, bytes([10, 0, 0, 7]), flush=True),
    )


async def test_what_is_kept_is_what_will_be_asked_for() -> None:
    network = Network()
    network.hear(announced(instance_name("den"), name("den", "local")))
    assert [type(each) for each in network.heard] == [Heard]
    assert network.kept() == {DNSPointer, DNSAddress}
    assert network.lookup.addresses("den.local.") == ("10.0.0.7",)


async def test_t11_other_peoples_services_and_texts_take_no_room() -> None:
    network = Network()
    printer = name("_ipp", "_tcp", "local")
    network.hear(
        response(*(record(printer, PTR, 2**32 - 1, name(f"p{n}", "_ipp", "_tcp", "local")) for n in range(50)))
    )
    network.hear(response(record(name("x", "local"), TXT, 2**32 - 1, join_text([b"x" * 255] * 30))))
    network.hear(response(*(record(name(f"h{n}", "local"), A, 2**32 - 1, bytes([10, 0, 0, n])) for n in range(50))))
    network.hear(response(record(name("x", "local"), 13, 4500, b"\1a\1b"), record(TYPE_NAME, 47, 4500, TYPE_NAME)))
    assert network.kept() == set()


async def test_t11_what_is_kept_does_not_grow_with_what_is_sent() -> None:
    """At 300 packets a second a service took 17 MiB in a minute and 61 in ten."""
    network = Network()
    fuzz = DnsFuzz(7, ["desk", "den"])
    for _ in range(4000):
        packet = DNSIncoming(fuzz.packet())
        if packet.valid and not packet.is_query():
            network.take(packet)
    assert 50 < len(network.table) <= MAX_INSTANCES
    assert len(network.records()) <= 3 * len(network.table)
    assert not network.zeroconf.cache.service_cache


async def test_t11_the_pointer_of_an_instance_that_lost_its_place_goes() -> None:
    network = Network()
    for n in range(4 * UNSWEPT):
        network.hear(response(record(TYPE_NAME, PTR, 2**32 - 1, instance_name(f"i{n}"))))
    assert len(network.table) == MAX_INSTANCES
    assert len(network.records()) <= MAX_INSTANCES + UNSWEPT


async def test_t11_addresses_are_kept_for_hosts_of_the_table_and_only_so_many() -> None:
    network = Network()
    den, nobody = name("den", "local"), name("nobody", "local")
    network.hear(announced(instance_name("den"), den))
    network.hear(response(*(record(nobody, A, 4500, bytes([10, 1, 0, n])) for n in range(100))))
    network.hear(response(*(record(den, A, 4500, bytes([10, 0, 1, n])) for n in range(100))))
    hosts = [each for each in network.records() if isinstance(each, DNSAddress)]
    assert len(hosts) == PER_NAME
    assert {each.name for each in hosts} == {"den.local."}
    network.hear(announced(instance_name("den"), den))  # the device says again where it is
    assert "10.0.0.7" in network.lookup.addresses("den.local.")
    assert len(network.lookup.addresses("den.local.")) <= PER_NAME


async def test_t11_thousands_of_addresses_of_one_host_are_never_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """zeroconf compares each with each: 16 packets held the service up for 3 s (measured)."""
    looked_at: list[int] = []
    network = Network()
    table = network.lookup.addresses

    def addresses(server: str) -> tuple[str, ...]:
        looked_at.append(len(network.zeroconf.cache.cache[server]))
        return table(server)

    monkeypatch.setattr(network.lookup, "addresses", addresses)
    host = name("x", "local")
    for number in range(20):
        network.hear(announced(instance_name(f"i{number}"), host))
        await network.clock.advance(1.0)
    for second in range(10):
        network.hear(response(*(record(host, A, 4500, bytes([10, 0, second, n])) for n in range(250))))
        await network.clock.advance(1.0)
    assert len(looked_at) >= 200
    assert max(looked_at) <= PER_NAME


async def test_t11_who_is_asked_for_may_name_thousands_of_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network()
    listeners: list[Any] = []
    monkeypatch.setattr(network.zeroconf, "async_add_listener", lambda listener, _: listeners.append(listener))
    await network.lookup.ask(f"den.{TYPE}")
    (asked,) = listeners
    host = "x.local."
    service = DNSService(f"den.{TYPE}", SRV, 1, 120, 0, 0, 4000, host)
    asked.async_update_records(network.zeroconf, service.created, [RecordUpdate(service, None)])
    for packet in range(10):
        updates = [RecordUpdate(DNSAddress(host, A, 1, 4500, bytes([10, 0, packet, n])), None) for n in range(250)]
        asked.async_update_records(network.zeroconf, service.created, updates)
    assert len(asked.parsed_addresses()) == PER_NAME


async def test_t11_a_host_named_as_the_service_has_no_addresses() -> None:
    network = Network()
    network.hear(announced(instance_name("den"), TYPE_NAME))
    network.hear(response(*(record(TYPE_NAME, A, 4500, bytes([10, 0, 1, n])) for n in range(100))))
    assert network.kept() == {DNSPointer}


async def test_t11_a_class_of_its_own_makes_no_record_of_its_own() -> None:
    network = Network()
    network.hear(announced(instance_name("den"), name("den", "local")))
    known = len(network.records())
    for n in range(2, 100):
        other = record(TYPE_NAME, PTR, 4500, instance_name("den"))
        network.hear(response(other.replace(PTR.to_bytes(2) + b"\0\1", PTR.to_bytes(2) + n.to_bytes(2))))
    assert len(network.records()) == known


async def test_t11_a_text_that_no_device_can_have_is_not_remembered() -> None:
    network = Network()
    network.hear(announced(instance_name("den"), name("den", "local")))
    await network.clock.advance(10.0)
    long = join_text([b"id=abcdefghijklmnop", b"r=2", *[b"x" * 255] * 5])
    assert len(long) > TEXT_MAX
    network.hear(response(record(instance_name("den"), TXT, 4500, long)))
    network.table.flush()
    assert [each.record.revision for each in network.heard if isinstance(each, Heard)] == [1]


async def test_t11_so_many_pairing_windows_are_kept_and_their_records_need_a_pointer() -> None:
    network = Network()
    network.windows = True
    service = name(*PAIR_TYPE.rstrip(".").split("."))
    for n in range(3 * WINDOWS_MAX):
        window = name(f"w{n}", *PAIR_TYPE.rstrip(".").split("."))
        stray = name(f"s{n}", *PAIR_TYPE.rstrip(".").split("."))
        network.hear(response(record(service, PTR, 4500, window), record(window, TXT, 4500, join_text([b"v=1"]))))
        network.hear(response(record(stray, TXT, 4500, join_text([b"v=1"] * 50))))
    kinds = Counter(type(each) for each in network.records())
    assert kinds[DNSPointer] == WINDOWS_MAX
    assert kinds[DNSText] <= 3 * WINDOWS_MAX  # those that are pointed to, until the next sweep


async def test_t11_pairing_windows_are_kept_while_they_are_looked_for() -> None:
    network = Network()
    window = name("x", *PAIR_TYPE.rstrip(".").split("."))
    packet = response(
        record(name(*PAIR_TYPE.rstrip(".").split(".")), PTR, 4500, window),
        record(window, SRV, 120, bytes(4) + b"\x0f\xa0" + name("den", "local")),
        record(window, TXT, 4500, join_text([b"v=1"])),
    )
    network.hear(packet)
    assert network.kept() == set()
    network.windows = True
    network.hear(packet)
    assert network.kept() == {DNSPointer, DNSService, DNSText}
    network.hear(response(record(window, SRV, 120, bytes(4) + b"\x0f\xa0" + BAD + b"\5local\0", flush=True)))
    assert all(
        is_sendable(each.server)
        for each in network.zeroconf.cache.cache[f"x.{PAIR_TYPE}"]
        if isinstance(each, DNSService)
    )


@pytest.mark.parametrize(
    ("instance", "server"),
    [
        pytest.param(BAD + TYPE_NAME, name("den", "local"), id="instance"),
        pytest.param(instance_name("den"), BAD + b"\5local\0", id="server"),
        pytest.param(instance_name("den"), b"\1\xff" * 60 + b"\5local\0", id="long-server"),
        pytest.param(instance_name("den"), b"\0", id="no-server"),
    ],
)
async def test_t11_a_name_that_is_no_utf_8_breaks_no_question(instance: bytes, server: bytes) -> None:
    """One such packet ended the service: the name is longer when it is sent than when it came."""
    network = Network()
    network.hear(response(record(TYPE_NAME, PTR, 4500, instance)))
    network.hear(announced(instance, server))
    for known in [*network.zeroconf.cache.cache, f"den.{TYPE}"]:
        await network.lookup.ask(known)
        network.lookup.cached(known)
        network.lookup.addresses(known)


async def test_t11_a_server_that_cannot_be_asked_for_is_no_answer() -> None:
    network = Network()
    bad = ("\ufffd" * 63) + ".local."
    service = DNSService(f"den.{TYPE}", SRV, 1, 120, 0, 0, 4000, bad)
    network.zeroconf.cache.async_add_records([service])  # as if it came while another question was under way
    await network.lookup.ask(f"den.{TYPE}")
    assert network.lookup.addresses(bad) == ()


async def test_t11_an_instance_that_is_not_understood_takes_no_other_along(caplog: pytest.LogCaptureFixture) -> None:
    def broken(strings: object, *, port: int, hosts: object) -> PresenceRecord | None:
        if port == 4001:
            raise OverflowError("of one instance")
        return decode(cast("list[bytes]", strings), port=port, hosts=cast("tuple[str, ...]", hosts))

    network = Network(broken)
    text = join_text([b"id=abcdefghijklmnop", b"r=1"])
    parts = []
    for port, instance in ((4001, instance_name("bad")), (4002, instance_name("good"))):
        parts += [
            record(instance, SRV, 120, bytes(4) + port.to_bytes(2) + name("den", "local")),
            record(instance, TXT, 4500, text),
        ]
    network.hear(response(record(name("den", "local"), A, 120, bytes([10, 0, 0, 7])), *parts))
    assert [each.record.port for each in network.heard if isinstance(each, Heard)] == [4002]
    assert [vars(each)["task"] for each in caplog.records] == ["discovery.instance"]


def test_a_name_fits_a_packet_or_not() -> None:
    assert is_sendable("den._lan-agent._tcp.local.")
    assert is_sendable("x" * 63 + ".local.")
    assert not is_sendable("x" * 64 + ".local.")
    assert not is_sendable("ü" * 32 + ".local.")
    assert not is_sendable("x." * 127 + "local.")
