"""`agent pair`, `join`, `unpair`, `devices`: who is let in."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from agent.client.terminal_text import clean
from agent.errors import Ambiguous, PairingFailed, TimedOut
from agent.frontends.cli.complete import complete_device, complete_session
from agent.frontends.cli.confusables import warnings
from agent.frontends.cli.duration import counted, spoken
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.output import Printer, local_time, short_device
from agent.frontends.cli.parameters import Span, Whole
from agent.frontends.cli.peers import device_word, tell_reach
from agent.frontends.cli.table import Below, Column, Row, Table, tabbed

if TYPE_CHECKING:
    from agent.protocol.messages import Pair

TABLE = Table(
    Column("NAME", least=22, cut="middle", typed=True),
    Column("ID", typed=True),
    Column("ROLE", least=24),
    Column("LET IN BY", least=9),
    Column("PAIRED"),
    Column("SEEN"),
    Column("STATE", least=16),
    left_out=("PAIRED", "LET IN BY", "SEEN", "STATE", "ROLE"),
)
JOIN_SECONDS = 60.0
"""For finding the window on the network and the five messages."""
TTL, TTL_MAX = 300.0, 3600.0
"""Seconds that a window waits."""
CODE_SHORT = 12
"""Characters of a code that is typed; a longer one is pasted."""
TEXT_MAX = 1024
"""Characters of a code that are read from a pipe."""
GUESSED = "somebody may be guessing: `agent pair --long` gives a code that cannot be used up"


@click.command()
@click.option(
    "--ttl", type=Span(1.0), metavar="TIME", help="Wait so long, default 5min; a guest stays so long, default 8h."
)
@click.option("--long", "long", is_flag=True, help="A code to paste or to scan, which nobody can use up by guessing.")
@click.option("--guest", is_flag=True, help="Let it in on this device alone, for a while; it starts and ends nothing.")
@click.option("--read", "read", is_flag=True, help="A guest may watch, and no more.")
@click.option("--session", metavar="SESSION", default="", shell_complete=complete_session,
              help="The only session that a guest may reach.")  # fmt: skip
@click.pass_obj
def pair(app: App, *, ttl: float | None, long: bool, guest: bool, read: bool, session: str) -> int:
    """Let another device in: show a code, and wait until it is used there with `agent join`."""
    if not guest and (read or session):
        raise click.UsageError("`--read` and `--session` are for a guest: add `--guest`")
    from agent.protocol.guests import STAY, STAY_MAX
    from agent.protocol.messages import Pair

    wait, stay = (TTL, ttl or STAY) if guest else (ttl or TTL, STAY)
    if not 1.0 <= wait <= TTL_MAX or stay > STAY_MAX:
        raise click.UsageError("--ttl takes 1 second to 1 hour, and for a guest up to 365 days: like 90, 30min or 8h")
    asked = Pair(ttl=wait, long=long, guest=guest, read_only=read, session=session, stay=stay, qr=long)
    return asyncio.run(_pair(app, asked))


async def _pair(app: App, asked: Pair) -> int:
    from agent.client.stream import streaming
    from agent.frontends.cli.qr import show_qr
    from agent.protocol.messages import PairNews
    from agent.protocol.methods import DEVICE_PAIR

    printer = app.printer
    report = tell_reach(app)
    async with streaming(app.client.path, patience=0.0) as stream:  # the window closes with this connection
        window = await stream.once(DEVICE_PAIR, asked)
        printer.line(window.code)
        printer.out.flush()
        if window.qr:
            show_qr(printer, window.qr)
        if asked.guest:
            printer.talk(f"whoever uses it is a guest of this device: {_terms(asked.read_only, asked.session, 'here')}")
        if report["presence"] == "hidden":
            printer.talk(
                "this device is not announced (presence.mode is hidden): the other one needs --address", "yellow"
            )
        _explain(printer, window.code, window.ttl, [f"{_host(host)}:{window.port}" for host in window.addresses])
        async for note in stream.notes():
            if not isinstance(note, PairNews):
                continue
            if note.reason:
                _declined(printer, note.name, note.reason, note.hint)
            elif _told(printer, note.what, note.failed, note.tries_left):
                _paired(printer, note.name, note.device, "guest" if asked.guest else "member")
                _offer_old(printer, [(old.id, old.name, old.seen_at) for old in note.namesakes])
                return Exit.OK
    return Exit.FAILED


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address and not address.startswith("[") else address


def _explain(printer: Printer, code: str, ttl: float, addresses: list[str]) -> None:
    line = f"agent join {code}" if len(code) <= CODE_SHORT else "agent join"
    printer.talk(f"on the other device, run:  {line}{'' if code in line else '  and paste the code'}")
    for address in addresses[:1]:
        line = f"agent join {code} --address {address}"
        printer.talk(f"without multicast there:   {line}", "dim")
    printer.talk("it needs `agent up` there, on the same network; either device may show the code", "dim")
    printer.talk(f"waiting for {spoken(ttl)}; Ctrl-C stops", "dim")


def _paired(printer: Printer, name: str, device: str, role: str) -> None:
    printer.talk(f"paired with {clean(name)} ({short_device(device)})", "green")
    printer.talk(next_step(name, device, role), "dim")


def next_step(name: str, device: str, role: str, session: str = "") -> str:
    """What can be done now with a device that was paired as what it is to this one. `session`: the only one reached."""
    word = device_word(name, device)
    match role:
        case "guest":
            return f"next: `agent devices` shows until when it stays; `agent unpair {word}` puts it out before"
        case "host" if session:
            return f"next: `agent attach {clean(session)}`"
        case "host":
            return f"next: `agent sessions --on {word}`, then `agent attach`"
        case _:
            return f"next: `agent sessions`, or start one there: `agent new --on {word} --attach`"


def _namesakes(rows: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    # A service that runs on from an older version tells none.
    return list(
        dict.fromkeys((old["id"], old["name"], old["seen_at"]) for row in rows for old in row.get("namesakes", ()))
    )


def _offer_old(printer: Printer, namesakes: list[tuple[str, str, str | None]]) -> None:
    # A new key is a new device. Whether the old one is meant is for a person to say, so nothing is done here.
    for device, name, seen_at in namesakes:
        seen = f"was last seen {local_time(seen_at)}" if seen_at else "was not seen by this device yet"
        printer.hint(
            f"another device is called {clean(name)} and {seen}: "
            f"if this is the same machine, installed anew, run `agent unpair {short_device(device)}`"
        )


def _declined(printer: Printer, name: str, reason: str, hint: str) -> None:
    printer.talk(f"{name or 'a device'} used the code and was not paired: {reason}", "yellow")  # `talk` cleans it
    if hint:
        printer.hint(hint)
    printer.talk("the code stays valid", "dim")


def _told(printer: Printer, what: str, failed: int, tries_left: int) -> bool:
    """Say what happened at the window; whether it is paired. Raises: TimedOut, PairingFailed."""
    again = "run `agent pair` again for a new code"
    left = f"; {tries_left} more {'try' if tries_left == 1 else 'tries'}" if tries_left else ""
    so_far = f"{counted(failed, 'try', 'tries')} so far{left}"
    match what:
        case "paired":
            return True
        case "wrong-code":
            printer.talk(f"a wrong code was tried, {failed} so far{left}", "yellow")
        case "failed":
            printer.talk(f"somebody began and did not finish, {so_far}", "yellow")
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
        from agent.frontends.cli.keyboard import piped_line

        code = piped_line(TEXT_MAX)
    elif code is None:
        code = click.prompt("code shown on the other device", prompt_suffix=": ", err=True)
    tell_reach(app)
    asked = {"code": code, "address": address, "name": device}
    try:
        row = app.client.call("device.join", asked, seconds=JOIN_SECONDS)
    except Ambiguous:
        if not _asks(app.printer):
            raise
        asked["address"] = _which(app, str(code), device)
        row = app.client.call("device.join", asked, seconds=JOIN_SECONDS)
    if row.get("role") == "host":
        told = f"this device is a guest of {clean(row['name'])} ({short_device(row['id'])})"
        app.printer.talk(f"{told}: {_terms(row['read_only'], row['session'], 'there')}", "green")
        app.printer.talk(f"until {local_time(row['expires_at'])}", "dim")
        app.printer.talk(next_step(row["name"], row["id"], "host", row["session"]), "dim")
        return Exit.OK
    _paired(app.printer, row["name"], row["id"], "member")
    _offer_old(app.printer, _namesakes([row]))
    return Exit.OK


def _terms(read_only: bool, session: str, where: str) -> str:
    which = f"the session {clean(session)}" if session else f"the sessions {where} that are not private"
    return f"it may watch {which}, and no more" if read_only else f"it may watch and prompt {which}"


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
    number = click.prompt("number", prompt_suffix=": ", err=True, type=Whole(1, len(windows)))
    return str(windows[number - 1]["address"])


@click.command()
@click.argument("device", required=False, shell_complete=complete_device)
@click.option("--self", "leaving", is_flag=True, help="Leave the household: this device trusts nobody in it any more.")
@click.option("--with-admitted", is_flag=True, help="Also put out whom that device let in, and whom these let in.")
@click.pass_obj
def unpair(app: App, device: str | None, *, leaving: bool, with_admitted: bool) -> int:
    """Put a device out, here and wherever the household reaches: it can reach nothing there from now on."""
    if leaving is bool(device) or (leaving and with_admitted):
        raise click.UsageError("either DEVICE or --self is needed; --with-admitted goes with DEVICE")
    if device:
        row = app.client.call("device.unpair", {"device": device, "with_admitted": with_admitted})
        app.printer.talk(f"{clean(device)} is no longer paired")
        _let_in(app, clean(row["name"]), row.get("let_in", []), gone=with_admitted)
        return Exit.OK
    left = app.client.call("device.leave")
    app.printer.talk("this device is in no household now; its own sessions are kept")
    if left["told"] < left["members"]:
        others = counted(left["members"], "other device")
        app.printer.talk(f"{left['told']} of {others} heard of it so far", "yellow")
        if not left["told"]:
            app.printer.hint("run `agent unpair` for this device on one of them")
    return Exit.OK


def _let_in(app: App, name: str, let_in: list[dict[str, Any]], *, gone: bool) -> None:
    # Whom a device let in stays when it goes, unless somebody says otherwise: so it is said, and offered.
    printer = app.printer
    if not let_in:
        return
    names = ", ".join(f"{clean(each['name'])} ({short_device(each['id'])})" for each in let_in)
    if gone:
        printer.talk(f"nor is whom it let in: {names}")
        return
    printer.talk(f"still paired, let in by {name}: {names}", "yellow")
    if _asks(printer) and click.confirm("put them out too?", default=False, err=True):
        for each in let_in:
            app.client.call("device.unpair", {"device": each["id"]})
            printer.talk(f"{clean(each['name'])} is no longer paired")
        return
    for each in let_in:
        printer.hint(f"`agent unpair {short_device(each['id'])}` puts {clean(each['name'])} out")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.option("--read-only", metavar="DEVICE", default="", shell_complete=complete_device,
              help="From now on that one may only watch here.")  # fmt: skip
@click.option("--full", metavar="DEVICE", default="", shell_complete=complete_device,
              help="From now on that one may do here all that its role allows.")  # fmt: skip
@click.pass_obj
def devices(app: App, *, as_json: bool, read_only: str, full: str) -> int:
    """List the devices that this one trusts, itself first; or change what one may do here."""
    if read_only and full:
        raise click.UsageError("`--read-only` and `--full` exclude each other: run it once for each")
    for device, limited in ((read_only, True), (full, False)):
        if device:
            told = app.client.call("device.limit", {"device": device, "read_only": limited})
            _limited(app.printer, told.get("others", []), limited=limited)
    if read_only or full:
        return Exit.OK
    rows = app.client.call("device.list")
    printer = app.printer
    if as_json:
        printer.json(rows)
        return Exit.OK
    doubts = warnings([{**row, "paired": True} for row in rows])
    for line in lines(sorted(rows, key=lambda row: not row["self"]), doubts, printer):
        printer.line(line)
    if all(row["self"] for row in rows):
        printer.hint("no other device yet: run `agent pair` here and `agent join` there")
    _offer_old(printer, _namesakes(rows))
    return Exit.OK


def _limited(printer: Printer, others: list[dict[str, Any]], *, limited: bool) -> None:
    for each in others:
        who = f"{clean(each['name'])} ({short_device(each['id'])})"
        if limited:
            printer.talk(f"{who} was let in by it, and may only watch now as well", "yellow")
            printer.hint(f"`agent devices --full {short_device(each['id'])}` ends that")
        else:
            printer.talk(f"{who}, which it let in meanwhile, is in now", "yellow")


def lines(rows: list[dict[str, Any]], doubts: dict[str, str], printer: Printer) -> list[str]:
    """The table of trusted devices; `doubts`: what to say beside which name, by id."""
    if not printer.tty:
        return [tabbed(_fields(row, doubts.get(row["id"], ""))) for row in rows]
    told: list[Row] = []
    for row in rows:
        told.append(_cells(row, printer))
        if row["id"] in doubts:
            told.append(Below((doubts[row["id"]], "yellow")))
    return TABLE.lines(printer, told)


def _cells(row: dict[str, Any], printer: Printer) -> Row:
    was = row.get("was", "")
    return (
        row["name"] + (" (this device)" if row["self"] else "") + (f" (was {was})" if was else ""),
        short_device(row["id"]),
        _role(row, narrow=printer.narrow),
        _let_in_by(row),
        printer.when(row["paired_at"]),
        "" if row["self"] else printer.when(row["seen_at"]),
        row["state"] + (f" ({row['reason']})" if row.get("reason") else ""),
    )


def _fields(row: dict[str, Any], doubt: str) -> list[str]:
    # In a pipe. What was there first stays in its place; more is added at the end.
    return [
        row["name"],
        row["id"],
        "this device" if row["self"] else _role(row),
        _let_in_by(row),
        row["paired_at"] or "",
        row["seen_at"] or "",
        row["state"],
        row.get("reason", ""),
        row.get("was", ""),
        doubt,
    ]


def _let_in_by(row: dict[str, Any]) -> str:
    # A device that is in no household is paired with this one alone.
    by = row.get("admitted_by")
    if not by:
        return ""
    return "(founder)" if by["id"] == row["id"] else clean(by["name"])


def _role(row: dict[str, Any], *, narrow: bool = False) -> str:
    # What it is to this device, and all that limits it. A service that runs on from an older version tells no roles.
    if row["self"]:
        return ""
    words = [str(row.get("role", "member")), *(["read-only"] if row.get("read_only") else [])]
    if row.get("session"):
        title = clean(row.get("session_title", ""))
        words.append(f"only {title} ({row['session']})" if title else f"only {clean(row['session'])}")
    if row.get("expires_at"):
        until = local_time(row["expires_at"])
        words.append(f"until {until.partition('-')[2] if narrow else until}")  # without the year
    return ", ".join(words)
