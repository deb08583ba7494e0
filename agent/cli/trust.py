"""`agent pair`, `join`, `unpair`, `devices`: who is let in."""

from __future__ import annotations

import asyncio
import sys

import click

from agent.cli.complete import complete_device
from agent.cli.main import App, Exit
from agent.cli.output import Printer, short_device
from agent.cli.text import clean
from agent.errors import PairingFailed, TimedOut

HEAD = ("NAME", "ID", "PAIRED", "SEEN", "STATE")
JOIN_SECONDS = 60.0
"""For finding the window on the network and the five messages."""
TTL = 300.0


@click.command()
@click.option("--ttl", type=click.FloatRange(1, 3600), default=TTL, metavar="S", help="Wait S seconds; default 300.")
@click.pass_obj
def pair(app: App, ttl: float) -> int:
    """Let another device in: show a code, and wait until it is used there with `agent join`."""
    return asyncio.run(_pair(app, ttl))


async def _pair(app: App, ttl: float) -> int:
    from agent.cli.stream import streaming
    from agent.core.messages import Pair, PairNews, PairWindow

    printer = app.printer
    async with streaming(app.client.path, patience=0.0) as stream:  # the window closes with this connection
        window = await stream.request("device.pair", Pair(ttl=ttl), PairWindow)
        printer.line(window.code)
        printer.out.flush()
        _explain(printer, window.code, window.ttl, [f"{_host(host)}:{window.port}" for host in window.addresses])
        async for note in stream.notes():
            if isinstance(note, PairNews) and _told(printer, note.what, note.tries_left):
                printer.talk(f"paired with {clean(note.name)} ({short_device(note.device)})", "green")
                return Exit.OK
    return Exit.FAILED


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address and not address.startswith("[") else address


def _explain(printer: Printer, code: str, ttl: float, addresses: list[str]) -> None:
    printer.talk(f"on the other device, run:  agent join {code}")
    for address in addresses[:1]:
        printer.talk(f"without multicast there:   agent join {code} --address {address}", "dim")
    minutes = f"{ttl / 60:g} minutes" if ttl >= 120 else f"{ttl:g} seconds"
    printer.talk(f"waiting for {minutes}; Ctrl-C stops", "dim")


def _told(printer: Printer, what: str, tries_left: int) -> bool:
    """Say what happened at the window; whether it is paired. Raises: TimedOut, PairingFailed."""
    again = "run `agent pair` again for a new code"
    match what:
        case "paired":
            return True
        case "wrong-code":
            printer.talk(f"a wrong code was tried; {tries_left} more {'try' if tries_left == 1 else 'tries'}", "yellow")
        case "failed":
            printer.talk("somebody began and did not finish", "yellow")
        case "expired":
            raise TimedOut("nobody used the code in time", hint=again)
        case "exhausted":
            raise PairingFailed("the code was tried wrongly too often, so it is no longer valid", hint=again)
        case _:
            raise PairingFailed("the service closed the window", hint=again)
    return False


@click.command()
@click.argument("code", required=False)
@click.option(
    "--address", metavar="HOST:PORT", default="", help="Where the code is shown; for networks without multicast."
)
@click.option("--device", metavar="NAME", default="", help="Which device, when two show such a code.")
@click.pass_obj
def join(app: App, code: str | None, address: str, device: str) -> int:
    """Pair with the device that shows a code."""
    if code is None:
        if not (sys.stdin.isatty() and app.printer.err_tty):
            raise click.UsageError("the code is needed: `agent pair` on the other device shows it")
        code = click.prompt("code shown on the other device", prompt_suffix=": ", err=True)
    asked = {"code": code, "address": address, "name": device}
    row = app.client.call("device.join", asked, seconds=JOIN_SECONDS)
    app.printer.talk(f"paired with {clean(row['name'])} ({short_device(row['id'])})", "green")
    return Exit.OK


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
