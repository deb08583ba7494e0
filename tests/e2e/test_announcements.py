"""What is announced and what is believed, over real multicast (T2, T5, T10, DESIGN §8).

The paired devices hold no link here (`links.mode = "on-demand"`): all that one shows of the other comes from
announcements, which is when a forger has the most to gain.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from zeroconf import DNSIncoming, DNSText  # type: ignore[attr-defined]  # public, but its `__all__` forgets it

from agent.adapters.discovery.instances import split_text
from agent.presence.rules.seal import verify
from tests.e2e.avahi import Avahi, require_avahi
from tests.e2e.conftest import MakeNetwork, networks
from tests.e2e.device import Device, Row, now, pair, until
from tests.e2e.packets import (
    PTR,
    SRV,
    TXT,
    TYPE_NAME,
    instance_name,
    multicast,
    name,
    record,
    response,
    service,
    text,
)
from tests.fakes.trust import identity

pytestmark = [pytest.mark.device, pytest.mark.timeout(240)]

ON_DEMAND = 'links.mode = "on-demand"\n'
TITLE = "Plan the surprise party"
Household = tuple[Device, Device, Device, Device]


@pytest.fixture(scope="module")
def household() -> Iterator[Household]:
    """Two paired devices without a link, and two machines of strangers: one that listens, one that forges."""
    with networks() as network:
        desk, laptop, listener, forger = network("desk", "laptop", "listener", "forger")
        for device in (desk, laptop):
            device.up()
        pair(desk, laptop)
        for device in (desk, laptop):
            device.leave()
            device.configure(ON_DEMAND)
        for device in (desk, laptop):
            device.up()
        desk.create(TITLE)
        until(lambda: titles(laptop) == [TITLE], "the title, by an announcement")
        yield desk, laptop, listener, forger


def titles(device: Device) -> list[str]:
    """Of sessions elsewhere."""
    return [row["title"] for row in device.ask("session.list", scope="remote", default=[])]


def view(device: Device, other: Device) -> tuple[Row, list[Row]]:
    """All that one shows of the other, but for when it was heard."""
    row = dict(device.peers()[other.id])
    row.pop("heard_at")
    return row, device.ask("session.list", scope="remote")


def linked(device: Device) -> int:
    links = device.ask("gateway.status")["links"]
    assert isinstance(links, int)
    return links


SNIFFER = """
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(1, socket.SO_REUSEADDR, 1)
s.setsockopt(1, socket.SO_REUSEPORT, 1)
s.bind(("224.0.0.251", 5353))
s.setsockopt(0, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("224.0.0.251") + socket.inet_aton(IPV4))
print("listening", flush=True)
while True:
    print(s.recv(9000).hex(), flush=True)
"""


def overheard(listener: Device, device: Device, *, after: list[bytes] | None = None) -> tuple[str, list[bytes]]:
    """Instance name and strings of a device's record, as anybody on the network hears them; a newer one than `after`.

    An answer that was delayed (RFC 6762, section 6) may tell an older one once more.
    """
    program = [sys.executable, "-c", SNIFFER.replace("IPV4", repr(listener.host.ipv4))]
    sniffer = listener.host.popen(program, stdout=subprocess.PIPE)
    assert sniffer.stdout
    assert sniffer.stdout.readline() == "listening\n"
    multicast(listener.host, struct.pack("!6H", 0, 0, 1, 0, 0, 0) + TYPE_NAME + struct.pack("!2H", PTR, 1))
    for line in sniffer.stdout:
        for answer in DNSIncoming(bytes.fromhex(line)).answers():
            if isinstance(answer, DNSText) and f"id={device.id}".encode() in answer.text:
                if (strings := split_text(answer.text)) == after:
                    continue
                sniffer.kill()
                return answer.name.split(".")[0], strings
    pytest.fail("the device announces nothing")


# --- what is announced ------------------------------------------------------------------------------------------------


def test_a_stranger_sees_name_id_and_counts_and_no_titles(household: Household, tmp_path: Path) -> None:
    # T10
    require_avahi()
    desk, laptop, listener, _ = household
    shown = Avahi(listener.host, tmp_path).browse(f'"id={desk.id}"')
    assert '"n=desk"' in shown
    assert '"c=0,0,1"' in shown
    assert '"s0=' not in shown
    for secret in (*TITLE.split(), "shell", str(desk.home)):
        assert secret not in shown
    _, strings = overheard(listener, desk)
    keys = [string.split(b"=")[0].decode() for string in strings]
    assert keys == ["txtvers", "r", "id", "n", "pv", "c", "e0", "sig"]
    assert titles(laptop) == [TITLE]
    assert (linked(desk), linked(laptop)) == (0, 0)


def test_open_is_loud_and_for_everybody(network: MakeNetwork, tmp_path: Path) -> None:
    require_avahi()
    desk, listener = network("desk", "listener")
    desk.configure('presence.mode = "open"\n')
    desk.up()
    desk.create(TITLE)
    assert TITLE in Avahi(listener.host, tmp_path).browse(TITLE)
    assert 'presence.mode is "open"' in desk.said()
    assert 'presence.mode is "open"' in desk.run("status").stdout


def test_a_change_reaches_a_paired_device_without_any_link(household: Household) -> None:
    desk, laptop, _, _ = household
    second = desk.create("Asks something")
    until(lambda: titles(laptop) == ["Asks something", TITLE], "both titles")
    desk.run("prompt", "--no-wait", second, "read -p 'Really? ' x")

    def asks() -> bool:
        return any(row["status"] == "needs-input" for row in laptop.ask("session.list", scope="remote"))

    until(asks, "the question")
    desk.run("close", second)
    until(lambda: titles(laptop) == [TITLE], "it to go")
    assert linked(laptop) == 0


# --- what is not believed ---------------------------------------------------------------------------------------------


def test_forged_replayed_foreign_and_oversized_records_never_change_a_paired_row(household: Household) -> None:
    # T2, T5, T8
    desk, laptop, listener, forger = household
    _, old = overheard(listener, desk)
    second = desk.create("Begun since")
    until(lambda: titles(laptop) == ["Begun since", TITLE], "the new session")
    instance, real = overheard(listener, desk, after=old)
    port = int(laptop.peers()[desk.id]["port"])
    before = view(laptop, desk)
    unsigned = [string for string in real if not string.startswith((b"sig=", b"e0="))]
    minted = identity(99)
    assert not verify(real, instance=f"{instance}.{'_lan-agent._tcp.local.'}", port=port, key=minted.key.public_key())

    def changed(key: bytes, value: bytes) -> list[bytes]:
        return [key + b"=" + value if string.startswith(key + b"=") else string for string in real]

    forged: dict[str, tuple[str, list[bytes], int]] = {
        "an old record": (instance, old, port),
        "another instance": ("bank desk", real, port),
        "another port": (instance, real, port + 1),
        "another revision": (instance, changed(b"r", b"zzzzzzzzzz"), port),
        "another name": (instance, changed(b"n", b"bank"), port),
        "other counts": (instance, changed(b"c", b"9,9,9"), port),
        "a session more": (instance, [*real, b"s0=aaaaaa,n,t00000,rm -rf"], port),
        "no signature": (instance, [*changed(b"r", b"zzzzzzzzzz")[:-1], b"s0=aaaaaa,n,t00000,rm -rf"], port),
        "unsigned, elsewhere": ("bank desk", [*unsigned, b"s0=aaaaaa,n,t00000,rm -rf"], port + 1),
        "a foreign signature": (instance, [*real[:-1], b"sig=" + minted.key.sign(b"".join(real[:-1]))], port),
        "an empty signature": (instance, [*real[:-1], b"sig="], port),
        "oversized": (instance, [*real, *(b"x%d=" % number + bytes(240) for number in range(20))], port),
        "nothing": (instance, [b""], port),
    }
    for what, (label, strings, at) in forged.items():
        packet = service(label, strings, port=at, host=desk.id, ipv4=forger.host.ipv4)
        multicast(forger.host, packet, packet)
        end = now() + 0.5
        while now() < end:
            assert view(laptop, desk) == before, what
    assert len(laptop.peers()) == 1
    for device in (desk, laptop):
        device.assert_healthy()
    # And it is still heard: the newest word of its own counts.
    desk.run("close", second)
    until(lambda: titles(laptop) == [TITLE], "it to go")


def test_a_forged_goodbye_never_takes_a_paired_device_down_and_a_true_one_does(household: Household) -> None:
    # R10
    desk, laptop, listener, forger = household
    instance, _ = overheard(listener, desk)
    before = view(laptop, desk)
    for _ in range(5):
        multicast(forger.host, response(record(TYPE_NAME, PTR, 0, instance_name(instance))))
        end = now() + 0.4
        while now() < end:
            assert view(laptop, desk) == before
    assert linked(laptop) == 0
    end = now() + 1.2  # an answer holds for a second
    while now() < end:
        assert view(laptop, desk) == before
    desk.leave()
    laptop.wait_to_see(desk, "offline", seconds=15.0)  # it is asked first, at the prober's next look
    desk.up()
    laptop.wait_to_see(desk, "online")


def test_thousands_of_phantoms_leave_the_paired_device_listed_and_memory_bounded(household: Household) -> None:
    # T2
    desk, laptop, _, forger = household
    until(lambda: titles(laptop) == [TITLE], "the title")
    small = resident(laptop)
    server = name("phantom", "local")
    address = record(server, 1, 120, bytes([10, 64, 0, 66]))

    def phantom(number: int) -> bytes:
        owner = instance_name(f"phantom {number}")
        device = f"phantom{number:09}".translate(str.maketrans("0189", "abcd"))
        strings = [b"txtvers=1", b"r=1000", b"id=" + device.encode(), b"n=phantom", b"c=0,0,1", b"s0=aaaaaa,n,1,boo"]
        return (
            record(TYPE_NAME, PTR, 4500, owner)
            + record(owner, SRV, 120, struct.pack("!3H", 0, 0, 4000) + server)
            + record(owner, TXT, 4500, text(strings))
        )

    packets = []
    for first in range(0, 5000, 5):
        body = b"".join(phantom(number) for number in range(first, first + 5)) + address
        packets.append(struct.pack("!6H", 0, 0x8400, 0, 16, 0, 0) + body)
    multicast(forger.host, *packets, apart=0.008)
    until(lambda: len(laptop.peers()) > 10, "some phantoms")
    row, sessions = view(laptop, desk)
    assert (row["state"], [each["title"] for each in sessions]) == ("online", [TITLE])
    assert len(laptop.peers()) <= 1 + 64
    assert all(not each["paired"] for each in laptop.peers().values() if each["id"] != desk.id)
    grown = resident(laptop) - small
    assert grown < 32 * 1024, f"{grown} KiB"
    desk.create("Heard in the crowd")
    # A flood may swallow all three copies of a record; it is announced again within 70 s.
    until(lambda: "Heard in the crowd" in titles(laptop), "a change in the crowd", seconds=75.0)
    laptop.assert_healthy()
    print(f"5,000 phantoms: {grown} KiB more")


def resident(device: Device) -> int:
    """KiB of its service."""
    assert device.service
    lines = Path(f"/proc/{device.service.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
