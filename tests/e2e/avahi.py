"""avahi on a host of the lab, with a bus of its own: the other mDNS program that a Linux machine has."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.lab import Host

SERVICE = "_lan-agent._tcp"
DBUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>
"""


class Avahi:
    """avahi with a bus of its own on a host: in a private mount namespace whose /run is empty."""

    def __init__(self, host: Host, folder: Path, setting: str = "") -> None:
        (folder / "dbus.conf").write_text(DBUS)
        (folder / "avahi.conf").write_text(f"[server]\nuse-ipv6=yes\n{setting}\n[wide-area]\nenable-wide-area=no\n")
        script = (
            "mount -t tmpfs none /run && mkdir -p /run/dbus /run/avahi-daemon && chmod 777 /run/avahi-daemon && "
            f"dbus-daemon --config-file={folder}/dbus.conf --fork && "
            f"exec avahi-daemon --no-rlimits --no-chroot --no-drop-root -f {folder}/avahi.conf"
        )
        null = subprocess.DEVNULL
        self.host = host
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script]
        self.daemon = host.popen(command, stdout=null, stderr=null)

    def command(self, *words: str) -> list[str]:
        return ["nsenter", f"--target={self.daemon.pid}", "--mount", "--net", *words]

    def wait_until_up(self) -> None:
        """Return once it holds the port."""
        until = time.monotonic() + 10.0  # noqa: TID251 - a test's watch
        while "avahi" not in self.host.run(["ss", "-lunp", "sport = 5353"]).stdout:
            assert time.monotonic() < until, "avahi did not start"  # noqa: TID251 - a test's watch
            time.sleep(0.1)

    def browse(self, text: str) -> str:
        """What `avahi-browse` shows of our type; asks until the text is in it."""
        until = time.monotonic() + 10.0  # noqa: TID251 - a test's watch
        while time.monotonic() < until:  # noqa: TID251 - a test's watch
            done = subprocess.run(
                self.command("avahi-browse", "-rpt", SERVICE),
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=10,
            )
            if text in done.stdout:
                return done.stdout
            time.sleep(0.2)
        pytest.fail(f"avahi-browse does not show {text!r}: {done.stdout} {done.stderr}")


def missing() -> str:
    """Which of its programs are not here; empty if none."""
    folders = (*os.get_exec_path(), "/usr/sbin")
    tools = ("avahi-daemon", "avahi-browse", "avahi-publish", "dbus-daemon")
    return ", ".join(tool for tool in tools if not any((Path(folder) / tool).exists() for folder in folders))


def require_avahi() -> None:
    """Skip the test without avahi; in CI it fails, since there it must run."""
    if absent := missing():
        if os.environ.get("CI"):
            pytest.fail(f"CI must have avahi: {absent}")
        pytest.skip(f"needs avahi: {absent}")
