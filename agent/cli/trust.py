"""`agent pair`, `join`, `unpair`, `devices`: who is let in."""

from __future__ import annotations

import asyncio
import re
import sys

import click

from agent.cli.complete import complete_device
from agent.cli.main import App, Exit
from agent.cli.output import Printer, short_device
from agent.cli.text import clean
from agent.errors import Ambiguous, PairingFailed, TimedOut

HEAD = ("NAME", "ID", "PAIRED", "SEEN", "STATE")
JOIN_SECONDS = 60.0
"""For finding the window on the network and the five messages."""
TTL = 300.0
TEXT_MAX = 1024
"""Characters of a code that are read from a pipe."""
GUESSED = "somebody may be guessing: `agent pair --long` gives a code that cannot be used up"


@click.command()
@click.option("--ttl", type=click.FloatRange(1, 3600), default=TTL, metavar="S", help="Wait S seconds; default 300.")
@click.option("--long", "long", is_flag=True, help="A code to paste or to scan, which nobody can use up by guessing.")
@click.pass_obj
def pair(app: App, ttl: float, long: bool) -> int:
    """Let another device in: show a code, and wait until it is used there with `agent join`."""
    return asyncio.run(_pair(app, ttl, long=long))


async def _pair(app: App, ttl: float, *, long: bool) -> int:
    from agent.cli.qr import show_qr
    from agent.cli.stream import streaming
    from agent.core.messages import Pair, PairNews, PairWindow

    printer = app.printer
    async with streaming(app.client.path, patience=0.0) as stream:  # the window closes with this connection
        window = await stream.request("device.pair", Pair(ttl=ttl, long=long), PairWindow)
        printer.line(window.code)
        printer.out.flush()
        if window.link:
            show_qr(printer, window.link)
        _explain(printer, window.code, window.ttl, [f"{_host(host)}:{window.port}" for host in window.addresses])
        async for note in stream.notes():
            if isinstance(note, PairNews) and _told(printer, note.what, note.failed, note.tries_left):
                _paired(printer, note.name, note.device)
                return Exit.OK
    return Exit.FAILED


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address and not address.startswith("[") else address


def _explain(printer: Printer, code: str, ttl: float, addresses: list[str]) -> None:
    printer.talk("on the other device, run:  agent join" + ("  and paste the code" if len(code) > 12 else f" {code}"))
    for address in addresses[:1]:
        printer.talk(f"without multicast there:   agent join {code} --address {address}", "dim")
    printer.talk("it needs `agent up` there, on the same network; either device may show the code", "dim")
    minutes = f"{ttl / 60:g} minutes" if ttl >= 120 else f"{ttl:g} seconds"
    printer.talk(f"waiting for {minutes}; Ctrl-C stops", "dim")


def _paired(printer: Printer, name: str, device: str) -> None:
    # A name is somebody's choice: only a harmless one becomes part of a command to copy.
    told = clean(name)
    printer.talk(f"paired with {told} ({short_device(device)})", "green")
    word = told if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", told) else short_device(device)
    printer.talk(f"next: `agent sessions`, or start one there: `agent new --on {word} --attach`", "dim")


def _told(printer: Printer, what: str, failed: int, tries_left: int) -> bool:
    """Say what happened at the window; whether it is paired. Raises: TimedOut, PairingFailed."""
    again = "run `agent pair` again for a new code"
    left = f"; {tries_left} more {'try' if tries_left == 1 else 'tries'}" if tries_left else ""
    match what:
        case "paired":
            return True
        case "wrong-code":
            printer.talk(f"a wrong code was tried, {failed} so far{left}", "yellow")
        case "failed":
            printer.talk(f"somebody began and did not finish, {failed} tries so far{left}", "yellow")
        case "expired":
            raise TimedOut("nobody used the code in time", hint=again)
        case "exhausted":
            raise PairingFailed("the code was tried wrongly too often, so it is no longer valid", hint=GUESSED)
        case _:
            raise PairingFailed("the service closed the window", hint=again)
    if failed == 2 and left:
        printer.hint(GUESSED)
    return False


@click.command()
@click.argument("code", required=False, metavar="[CODE]")
@click.option(
    "--address", metavar="HOST:PORT", default="", help="Where the code is shown; for networks without multicast."
)
@click.option("--device", metavar="NAME", default="", help="Which device, when two show such a code.")
@click.pass_obj
def join(app: App, code: str | None, address: str, device: str) -> int:
    """Pair with the device that shows a code.

    CODE is short, long, or the link of a QR code; it is asked for on a terminal, and `-` reads it from standard input.
    """
    if code is None and not _asks(app.printer):
        raise click.UsageError("the code is needed: `agent pair` on the other device shows it; `-` reads it from stdin")
    if code == "-":
        code = sys.stdin.readline(TEXT_MAX)
    elif code is None:
        code = click.prompt("code shown on the other device", prompt_suffix=": ", err=True)
    asked = {"code": code, "address": address, "name": device}
    try:
        row = app.client.call("device.join", asked, seconds=JOIN_SECONDS)
    except Ambiguous:
        if not _asks(app.printer):
            raise
        asked["address"] = _which(app, str(code), device)
        row = app.client.call("device.join", asked, seconds=JOIN_SECONDS)
    _paired(app.printer, row["name"], row["id"])
    return Exit.OK


def _asks(printer: Printer) -> bool:
    return sys.stdin.isatty() and printer.err_tty


def _which(app: App, code: str, device: str) -> str:
    # Exactly one window is tried with a code, so the person says which. Names prove nothing: addresses tell them apart.
    found = app.client.call("device.windows", {"code": code}, seconds=JOIN_SECONDS)
    windows = [row for row in found if not device or row["name"].casefold() == device.casefold()]
    if not windows:
        raise PairingFailed("the windows are closed meanwhile", hint="run `agent pair` there again")
    app.printer.talk("several devices show a code that begins like this; which one shows yours?", "yellow")
    for number, row in enumerate(windows, 1):
        app.printer.talk(f"{number:3}) {clean(row['name'])} at {clean(row['address'])}")
    number = click.prompt("number", prompt_suffix=": ", err=True, type=click.IntRange(1, len(windows)))
    return str(windows[number - 1]["address"])


@click.command()
@click.argument("device", shell_complete=complete_device)
@click.pass_obj
def unpair(app: App, device: str) -> int:
    """Put a device out: it can reach nothing here from now on."""
    app.client.call("device.unpair", {"device": device})
    app.printer.talk(f"{clean(device)} is no longer paired")
    return Exit.OK


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.pass_obj
def devices(app: App, as_json: bool) -> int:
    """List the devices that this one trusts, itself first."""
    rows = app.client.call("device.list")
    printer = app.printer
    if as_json:
        printer.json(rows)
        return Exit.OK
    cells = [
        (
            clean(row["name"]) + (" (this device)" if row["self"] else ""),
            short_device(row["id"]) if printer.tty else row["id"],
            printer.when(row["paired_at"]),
            "-" if row["self"] else printer.when(row["seen_at"]),
            row["state"],
        )
        for row in sorted(rows, key=lambda row: not row["self"])
    ]
    for line in printer.table(HEAD, cells, shrink=("NAME",)):
        printer.line(line)
    if all(row["self"] for row in rows):
        printer.hint("no other device yet: run `agent pair` here and `agent join` there")
    return Exit.OK
