"""Malformed multicast DNS, seeded: names, pointers, lengths, types, counts, texts, servers, goodbyes, whole garbage.

    python -m tests.attacks.dns_fuzz send SOURCE SEED SECONDS [NAME…]    inside a host of a lab
    python -m tests.attacks.dns_fuzz --minutes 10 --seed 7               a soak, in a lab of its own

A packet is a well-formed one of our own kind with some of its parts replaced by what no program should send; so it gets
far before it fails. `NAME` are instance names and device ids that are there, to be spoken for.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence

from agent.presence.rules.txt import base36

A, PTR, HINFO, TXT, AAAA, SRV, OPT, NSEC, ANY, CNAME = 1, 12, 13, 16, 28, 33, 41, 47, 255, 5
SERVICE = (b"_lan-agent", b"_tcp", b"local")
PAIRING = (b"_lan-agent-pair", b"_tcp", b"local")
PER_SECOND = 300
GROUP, PORT = "224.0.0.251", 5353


class DnsFuzz:
    """Packets, the same ones for the same seed."""

    def __init__(self, seed: int, names: Sequence[str] = ()) -> None:
        self._dice = random.Random(seed)
        self._names = [name.encode() for name in names] or [b"nobody"]

    def packet(self) -> bytes:
        """The next one."""
        kinds: list[Callable[[], bytes]] = [self._announcement] * 6
        kinds += [self._records, self._records, self._question, self._broken, self._noise, self._goodbye]
        data = self._dice.choice(kinds)()
        if self._dice.random() < 0.25:
            data = self._mutated(data)
        return data[:8900]

    # --- whole packets -----------------------------------------------------------------------------------------------

    def _announcement(self) -> bytes:
        """All records of a device or window, each part with a chance to be wrong."""
        service = self._dice.choice((SERVICE, SERVICE, SERVICE, PAIRING))
        instance = self._label(self._a_name())
        owner = instance + self._service(service)
        server = self._dice.choice((self._name(), self._label(self._a_name()) + b"\5local\0"))
        records = [
            self._record(self._service(service), PTR, owner),
            self._record(owner, SRV, self._numbers(3) + server),
            self._record(owner, TXT, self._text()),
            self._record(server, A, self._bytes(4)),
        ]
        if self._dice.random() < 0.3:
            self._dice.shuffle(records)
            records = records[: self._dice.randint(1, 4)]
        return self._message(0x8400, answers=records)

    def _records(self) -> bytes:
        """Records of any type and content."""
        return self._message(
            self._dice.choice((0x8400, 0x8000, 0x8600)),
            answers=[self._any_record() for _ in range(self._dice.randint(1, 30))],
            more=[self._any_record() for _ in range(self._dice.randint(0, 3))],
        )

    def _question(self) -> bytes:
        """Questions, known answers, probes for names that are there."""
        asked = [
            self._some_name() + struct.pack("!HH", self._dice.choice((PTR, SRV, TXT, A, ANY)), self._class())
            for _ in range(self._dice.choice((0, 1, 1, 2, 40)))
        ]
        return self._message(
            self._dice.choice((0, 0x0200)),
            questions=asked,
            answers=[self._any_record() for _ in range(self._dice.choice((0, 0, 1, 60)))],
            authorities=[self._any_record() for _ in range(self._dice.choice((0, 0, 1)))],
        )

    def _goodbye(self) -> bytes:
        """Somebody is said to leave."""
        owner = self._label(self._dice.choice(self._names)) + self._service(SERVICE)
        return self._message(0x8400, answers=[self._record(self._service(SERVICE), PTR, owner, ttl=0)])

    def _broken(self) -> bytes:
        """Counts that promise more or less than there is, and compression that leads nowhere or in circles."""
        counts = struct.pack("!4H", *(self._dice.choice((0, 1, 2, 65535)) for _ in range(4)))
        body = b"".join(self._name() + self._bytes(self._dice.randint(0, 40)) for _ in range(self._dice.randint(0, 5)))
        return self._numbers(2) + counts + body

    def _noise(self) -> bytes:
        return self._bytes(self._dice.choice((0, 1, 11, 12, 13, 100, 1500, 8900)))

    def _message(
        self,
        flags: int,
        *,
        questions: Sequence[bytes] = (),
        answers: Sequence[bytes] = (),
        authorities: Sequence[bytes] = (),
        more: Sequence[bytes] = (),
    ) -> bytes:
        parts = (questions, answers, authorities, more)
        head = struct.pack("!6H", 0, flags, *map(len, parts))
        return head + b"".join(each for part in parts for each in part)

    def _mutated(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self._dice.randint(1, 4)):
            if changed:
                at = self._dice.randrange(len(changed))
                what = self._dice.randrange(3)
                if what == 0:
                    changed[at] = self._dice.randrange(256)
                elif what == 1:
                    del changed[at : at + self._dice.randint(1, 20)]
                else:
                    changed[at:at] = self._bytes(self._dice.randint(1, 20))
        return bytes(changed)

    # --- records -----------------------------------------------------------------------------------------------------

    def _any_record(self) -> bytes:
        kind = self._dice.choice((A, PTR, HINFO, TXT, AAAA, SRV, OPT, NSEC, ANY, CNAME, self._dice.randrange(65536)))
        data: Callable[[], bytes] = {
            PTR: self._name,
            CNAME: self._name,
            TXT: self._text,
            SRV: lambda: self._numbers(3) + self._name(),
            NSEC: lambda: self._name() + self._bytes(self._dice.randint(0, 40)),
            A: lambda: self._bytes(self._dice.choice((4, 4, 4, 0, 3, 5))),
            AAAA: lambda: self._bytes(self._dice.choice((16, 16, 15, 0))),
        }.get(kind, lambda: self._bytes(self._dice.randint(0, 60)))
        return self._record(self._some_name(), kind, data())

    def _record(self, owner: bytes, kind: int, data: bytes, *, ttl: int | None = None) -> bytes:
        size = len(data) if self._dice.random() < 0.95 else self._dice.randrange(65536)
        if ttl is None:
            ttl = self._dice.choice((0, 1, 10, 120, 4500, 4500, 2**31 - 1, 2**32 - 1))
        return owner + struct.pack("!HHIH", kind, self._class(), ttl, size) + data

    def _class(self) -> int:
        return self._dice.choice((1, 1, 0x8001, 0x8001, 255, self._dice.randrange(65536)))

    # --- names -------------------------------------------------------------------------------------------------------

    def _some_name(self) -> bytes:
        known = self._label(self._dice.choice(self._names))
        return self._dice.choice(
            (self._service(SERVICE), self._service(PAIRING), known + self._service(SERVICE), known + b"\5local\0",
             self._name(), self._label(self._a_name()) + self._service(SERVICE))
        )  # fmt: skip

    def _service(self, labels: Sequence[bytes]) -> bytes:
        if self._dice.random() < 0.05:
            return self._name()
        return b"".join(map(self._label, labels)) + b"\0"

    def _name(self) -> bytes:
        """A domain name, or what is none."""
        labels = b"".join(self._label(self._a_label()) for _ in range(self._dice.choice((0, 1, 2, 3, 3, 20, 130))))
        end = self._dice.choice((b"\0", b"\0", b"\0", b"\5local\0", b"\5local\0", b"", self._pointer()))
        return labels + end

    def _pointer(self) -> bytes:
        at = self._dice.choice((0, 1, 11, 12, 13, 14, 20, 40, 100, 0x3FFF))
        return struct.pack("!H", 0xC000 | at)

    def _label(self, text: bytes) -> bytes:
        size = len(text[:63]) if self._dice.random() < 0.98 else self._dice.randrange(256)
        return bytes([size]) + text[:63]

    def _a_name(self) -> bytes:
        return self._dice.choice(self._names) if self._dice.random() < 0.3 else self._a_label()

    def _a_label(self) -> bytes:
        return self._dice.choice(
            (
                b"\xff" * self._dice.choice((1, 5, 21, 22, 63)),  # is read as 3 bytes for each
                self._bytes(self._dice.randint(1, 63)),
                "ü.ñ.漢字".encode(),
                b"a.b.c",
                b"-",
                b" ",
                b"x" * 63,
                b"\x1b[2J\r\n",
                f"device{self._dice.randrange(10_000)}".encode(),
                b"_sub",
                b"local",
            )
        )

    # --- texts and numbers -------------------------------------------------------------------------------------------

    def _text(self) -> bytes:
        """TXT rdata: our keys with odd values, or no strings at all."""
        if self._dice.random() < 0.1:
            return self._bytes(self._dice.choice((0, 1, 2, 300, 8000)))
        number = self._dice.choice((0, 1, 2**31, 2**53, 2**62, 2**63, 2**64, 2**64 + 1, 36**13 - 1, 36**20))
        device = self._dice.choice((*self._names, b"a" * 16, b"abcdefghijklmnop", self._bytes(16)))
        values: list[tuple[bytes, bytes]] = [
            (b"txtvers", self._dice.choice((b"1", b"2", b"", b"99999", b"\xff"))),
            (b"r", self._dice.choice((base36(number).encode(), b"", b"-1", self._bytes(13)))),
            (b"id", device),
            (b"n", self._dice.choice((b"desk", b"\xcc\x81" * 100, b"\xe2\x80\xae", self._bytes(200)))),
            (b"pv", self._dice.choice((b"1", b"1,2", b"999,999", b",", b"1" * 200))),
            (b"c", self._dice.choice((b"1,2,3", b"9999,9999,9999", b"-1,0,0", b"\xd9\xa1,\xd9\xa2,\xd9\xa3"))),
            (b"more", self._dice.choice((b"1", b"99999", b"-", b"\xc2\xb2"))),
            (b"s0", b"abcdef,w,zzzzzzz,title"),
            (b"s1", self._dice.choice((b"abcdef,n,0," + b"\xcd\x80" * 90, b"abcdefgh,?,1,", self._bytes(100)))),
            (b"e0", self._bytes(self._dice.choice((0, 12, 28, 250)))),
            (b"sig", self._bytes(self._dice.choice((0, 63, 64, 65)))),
            (self._bytes(5), self._bytes(20)),
        ]
        chosen = [each for each in values if self._dice.random() < 0.8]
        self._dice.shuffle(chosen)
        strings = [(key + b"=" + value)[:255] for key, value in chosen]
        return b"".join(bytes([len(each)]) + each for each in strings)

    def _numbers(self, count: int) -> bytes:
        return struct.pack(f"!{count}H", *(self._dice.choice((0, 1, 4000, 65535)) for _ in range(count)))

    def _bytes(self, count: int) -> bytes:
        return self._dice.randbytes(count)


def send(source: str, fuzz: DnsFuzz, seconds: float) -> int:
    """Multicast packets from that address for so long; how many."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(source))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("", PORT))
    began = time.monotonic()  # noqa: TID251 - a test's watch
    sent = 0
    with sock:
        while (passed := time.monotonic() - began) < seconds:  # noqa: TID251 - a test's watch
            while sent < passed * PER_SECOND:
                sock.sendto(fuzz.packet(), (GROUP, PORT))
                sent += 1
            time.sleep(0.005)
    return sent


def main(argv: Sequence[str]) -> int:
    """Send, or soak."""
    if argv[:1] == ["send"]:
        source, seed, seconds, *names = argv[1:]
        sys.stdout.write(json.dumps({"sent": send(source, DnsFuzz(int(seed), names), float(seconds))}))
        return 0
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.dns_fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(argv)
    from tests.attacks.soak import soak

    report = soak(asked.seed, asked.minutes * 60)
    sys.stdout.write(report.in_words())
    return 0 if report.well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
