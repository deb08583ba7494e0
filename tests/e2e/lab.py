"""A home network out of Linux network namespaces: needs root and iproute2, touches nothing of this machine's own.

    with Lab(2) as lab:
        desk, laptop = lab.hosts
        desk.popen([sys.executable, "-m", "agent", "up"])
        print(laptop.run(["avahi-browse", "-art"]).stdout)
        desk.unplug()
        desk.plug()

Every host is a namespace with `eth0` on one bridge; the bridge lives in a namespace of its own. Multicast is real.
Host number i has 10.64.0.i/24 (unless `ipv4=False`) and a link-local IPv6 address that is usable at once: the
kernel's duplicate address detection, two seconds, is off. All names begin with the process id, so that labs of
several pytest processes stand side by side; what a killed run left behind is removed by the next one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

_PREFIX = "lanagent"
_DROP, _PASS = 2, 0xFFFFFFFF  # TC_ACT_SHOT, TC_ACT_UNSPEC
_numbers = count(1)


def missing() -> str:
    """Why there can be no lab here, as a sentence; empty if there can."""
    if sys.platform != "linux":
        return "network namespaces need Linux"
    if os.geteuid() != 0:
        return "network namespaces need root"
    absent = [tool for tool in ("ip", "tc") if shutil.which(tool) is None]
    return f"needs iproute2: {', '.join(absent)} not found" if absent else ""


def _command(*words: str, batch: str = "", check: bool = True) -> str:
    done = subprocess.run(words, input=batch, capture_output=True, text=True, check=False, timeout=30)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}\n{batch}")
    return done.stdout


class Host:
    """One machine on the lab's network."""

    def __init__(self, lab: Lab, number: int) -> None:
        self.lab, self.number = lab, number
        self.namespace = f"{lab.name}-{number}"
        self.port = f"port{number}"  # its end at the bridge
        self.ipv4 = f"10.64.0.{number}"

    def run(self, words: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command here and wait for it; its output is captured as text."""
        settings: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 60, "check": False, **options}
        return subprocess.run(["ip", "netns", "exec", self.namespace, *words], **settings)  # noqa: PLW1510 - in there

    def popen(
        self,
        words: Sequence[str],
        *,
        stdin: int | None = None,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        env: dict[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a command here; it is ended with the lab at the latest. Its pid is the command's own."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, *words],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            text=True,
            start_new_session=True,
        )
        self.lab.processes.append(process)
        return process

    def unplug(self) -> None:
        """Pull the cable: the carrier is lost, addresses stay."""
        self.lab.switch(f"link set {self.port} down")

    def plug(self) -> None:
        """Put the cable back."""
        self.lab.switch(f"link set {self.port} up")

    def set_ipv4(self, address: str | None, interface: str = "eth0") -> None:
        """Replace the IPv4 address, as a new lease does; None leaves none."""
        _command("ip", "-n", self.namespace, "-4", "addr", "flush", "dev", interface)
        if address:
            self.ip(f"addr add {address}/24 brd + dev {interface}")
        if interface == "eth0":
            self.ipv4 = address or ""

    def down(self, interface: str = "eth0") -> None:
        """Turn the interface off, as airplane mode does."""
        self.ip(f"link set {interface} down")

    def up(self, interface: str = "eth0") -> None:
        """Turn it on again; the kernel makes the link-local IPv6 address anew."""
        self.ip(f"link set {interface} up")

    def add_interface(self, name: str, ipv4: str | None = None) -> None:
        """Plug a further interface into the same bridge."""
        port = f"{self.port}-{name}"
        self.lab.switch(
            f"link add {port} type veth peer name {name} netns {self.namespace}\nlink set {port} master lan up"
        )
        self.up(name)
        if ipv4:
            self.set_ipv4(ipv4, name)

    def lose(self, percent: float, *, sent: bool = True, received: bool = True) -> None:
        """Drop that share of the packets on the cable at random, of what the host sends and receives; 0 mends it."""
        below = min(int(percent / 100 * 2**32), 2**32 - 1)
        dropping = [  # classic BPF: there is no netem in every kernel
            (0x20, 0, 0, 0xFFFFF000 + 56),  # A = a random number (SKF_AD_RANDOM)
            (0x35, 1, 0, below),  # if A >= below, skip one
            (0x06, 0, 0, _DROP),
            (0x06, 0, 0, _PASS),
        ]
        self._filter(dropping if percent > 0 else [], sent=sent, received=received)

    def lose_multicast_dns(self) -> None:
        """Drop what goes to port 5353 (mDNS), each way, as a switch or access point does; `lose(0)` mends it."""
        dropping = [
            (0x28, 0, 0, 12),  # 0: A = the type of the frame
            (0x15, 0, 4, 0x0800),  # 1: not IPv4: to 6
            (0x30, 0, 0, 23),  # 2: A = its protocol
            (0x15, 0, 8, 17),  # 3: not UDP: pass
            (0x28, 0, 0, 36),  # 4: A = the port, after a header without options
            (0x15, 5, 6, 5353),  # 5: drop, or pass
            (0x15, 0, 5, 0x86DD),  # 6: not IPv6: pass
            (0x30, 0, 0, 20),  # 7: A = the next header
            (0x15, 0, 3, 17),  # 8: not UDP: pass
            (0x28, 0, 0, 56),  # 9: A = the port
            (0x15, 0, 1, 5353),  # 10: drop, or pass
            (0x06, 0, 0, _DROP),
            (0x06, 0, 0, _PASS),
        ]
        self._filter(dropping, sent=True, received=True)

    def reset_connections(self) -> None:
        """End every TCP connection of this host with a reset, as a router or firewall that was restarted does."""
        self.run(["ss", "--kill", "--tcp", "--no-header", "state", "established"], check=True)

    def remove(self) -> None:
        """Take the interface out, as an adapter on USB."""
        self.lab.switch(f"link del {self.port}")

    def insert(self) -> None:
        """Put in a fresh interface, of the same name and with the same IPv4 address."""
        self.lab.plug_in(self, "lan")
        if self.ipv4:
            self.set_ipv4(self.ipv4)

    def _filter(self, program: list[tuple[int, int, int, int]], *, sent: bool, received: bool) -> None:
        # Seen from the bridge, what a host sends comes in. What was filtered before passes again.
        tc = ("tc", "-n", self.lab.name)
        _command(*tc, "qdisc", "del", "dev", self.port, "clsact", check=False)
        if not program:
            return
        code = f"{len(program)}," + ",".join(" ".join(str(word) for word in line) for line in program)
        _command(*tc, "qdisc", "add", "dev", self.port, "clsact")
        for direction, wanted in (("ingress", sent), ("egress", received)):
            if wanted:
                filtering = ("filter", "add", "dev", self.port, direction, "bpf", "direct-action", "bytecode", code)
                _command(*tc, *filtering)

    def ipv6(self, interface: str = "eth0") -> str:
        """The link-local IPv6 address, without zone; empty if there is none."""
        shown = _command("ip", "-n", self.namespace, "-j", "-6", "addr", "show", "dev", interface, "scope", "link")
        addresses = [each for link in json.loads(shown or "[]") for each in link.get("addr_info", [])]
        return next((str(each["local"]) for each in addresses if "local" in each), "")

    def ip(self, batch: str) -> None:
        """Run `ip` commands here, one a line."""
        _command("ip", "-n", self.namespace, "-batch", "-", batch=batch + "\n")


class Lab:
    """A context manager: so many hosts on one bridge. Leaving it ends what runs in them and removes them."""

    def __init__(self, hosts: int = 2, *, ipv4: bool = True) -> None:
        self.name = f"{_PREFIX}-{os.getpid()}-{next(_numbers)}"
        self.hosts = [Host(self, number) for number in range(1, hosts + 1)]
        self.processes: list[subprocess.Popen[str]] = []
        self._ipv4 = ipv4

    def __enter__(self) -> Self:
        _sweep()
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def switch(self, batch: str, *, check: bool = True) -> str:
        """Run `ip` commands at the bridge, one a line; what they print."""
        return _command("ip", "-n", self.name, "-batch", "-", batch=batch + "\n", check=check)

    def close(self) -> None:
        """End and remove everything. Idempotent."""
        _remove([name for name in _namespaces() if name == self.name or name.startswith(f"{self.name}-")])
        for process in self.processes:
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()
        self.processes.clear()

    def make_namespaces(self) -> None:
        """Make the namespaces of the bridge and of all hosts."""
        names = [self.name, *(host.namespace for host in self.hosts)]
        _command("ip", "-batch", "-", batch="".join(f"netns add {name}\n" for name in names))

    def plug_in(self, host: Host, bridge: str) -> None:
        """Give a host its `eth0`, at that bridge."""
        # Defaults first: they count for interfaces that are made later.
        host.run(["sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad"], check=True)
        self.switch(
            f"link add {host.port} type veth peer name eth0 netns {host.namespace}\n"
            f"link set {host.port} master {bridge} up"
        )
        host.ip("link set lo up\nlink set eth0 up")

    def _build(self) -> None:
        self.make_namespaces()
        self.switch("link add lan type bridge mcast_snooping 0 forward_delay 0\nlink set lan up")
        for host in self.hosts:
            self.plug_in(host, "lan")
            if self._ipv4:
                host.set_ipv4(host.ipv4)
            else:
                host.ipv4 = ""


def _namespaces() -> list[str]:
    return [line.split()[0] for line in _command("ip", "netns", "list").splitlines() if line]


def _sweep() -> None:
    """Remove what labs of processes that are no more have left."""
    for name in _namespaces():
        owner = re.match(rf"{_PREFIX}-(\d+)-", name)
        if owner and not Path(f"/proc/{owner[1]}").exists():
            _remove([name])


def _remove(names: Sequence[str]) -> None:
    def inside() -> set[int]:
        listed = (_command("ip", "netns", "pids", name, check=False) for name in names)
        return {int(pid) for each in listed for pid in each.split()}

    while pids := inside():
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    for name in names:
        _command("ip", "netns", "del", name, check=False)
