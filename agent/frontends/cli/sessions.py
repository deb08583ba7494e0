"""`agent sessions`: what runs on all devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from agent.client.terminal_text import Style, clean, fit, session_title
from agent.frontends.cli.complete import complete_device
from agent.frontends.cli.duration import counted
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.output import Printer, duration_since, short_device, short_ids
from agent.frontends.cli.table import Below, Cell, Column, Heading, Table, tabbed
from agent.frontends.cli.table import Row as Line

Row = dict[str, Any]
"""A session as `session.list` gives it: `agent.protocol.model.SessionRow`, without the cost of its import."""

REMOTE = "Live on other devices"
EMPTY = "no sessions yet: start one with `agent new`"
AWAY = "Out of reach, as last known"
OVER = "Over: their transcripts are kept"
ASKED_SECONDS = 30.0
"""All devices are asked at once for sessions that are over."""
TABLE = Table(
    Column("STATUS"),
    Column("TITLE", least=30, typed=True),
    Column("MARKS", optional=True),
    Column("DEVICE", least=8),
    Column("BACKEND", least=8),
    Column("PROGRAM", least=8, optional=True),
    Column("CWD", least=14, cut="middle", optional=True),
    Column("UPDATED"),
    Column("ID"),
    left_out=("PROGRAM", "CWD", "BACKEND", "UPDATED", "MARKS", "DEVICE", "STATUS"),
)
_STYLES: dict[str, Style] = {"starting": "cyan", "idle": "", "working": "green", "needs-input": "yellow",
                             "ended": "dim", "failed": "red"}  # fmt: skip


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.option("--watch", is_flag=True, help="Stay and show changes; JSON lines in a pipe.")
@click.option("--on", metavar="DEVICE", shell_complete=complete_device, help="Only those of this device.")
@click.option("--all", "everything", is_flag=True, help="Also closed ones, and those of devices that are out of reach.")
@click.pass_obj
def sessions(app: App, as_json: bool, watch: bool, on: str | None, *, everything: bool) -> int:
    """List the sessions of all devices, this one's first."""
    device = ""
    if on:
        from agent.frontends.cli.peers import find_device

        device = str(find_device(app.client, on)["id"])
    if watch:
        from agent.frontends.cli.watch import watch as follow

        folds = app.printer.tty and not as_json
        asked = {"scope": "all", "all": everything or folds}
        return follow(app, "session", asked, lambda rows: screen(of(rows, device), app.printer, everything=everything),
                      as_json=as_json, only=lambda row: not device or row["device"]["id"] == device)  # fmt: skip
    past = _past(app, device) if everything else {}
    over = past.get("sessions", [])
    if as_json:
        app.printer.json([*of(app.client.call("session.list", {"all": everything}), device), *over])
        _tell_the_rest(past, app.printer)
        return Exit.OK
    rows = of(app.client.call("session.list", {"all": True}), device)
    if all(row["local"] for row in rows):  # why there are none of others
        from agent.frontends.cli.peers import tell_reach

        tell_reach(app)
    rows = [*rows, *over]
    devices = {row["id"]: row for row in app.client.call("peer.list") if device in ("", row["id"])}
    refused = refusing(devices.values())
    for line in lines(shown(rows, everything), app.printer):
        app.printer.line(line)
    for line in [*([] if everything else folded(rows, devices, app.printer)), *refused]:
        app.printer.beside(line)
    _tell_the_rest(past, app.printer)
    if not rows and not refused:
        app.printer.hint(_empty(app, devices.get(device)))
    return Exit.OK


def _past(app: App, device: str) -> Row:
    # All devices are asked: of a single one that is away only an error would come.
    past: Row = app.client.call("session.past", {"scope": "all"}, seconds=ASKED_SECONDS)
    unreached = [each for each in past.get("unreached", ()) if device in ("", each["device"]["id"])]
    return {**past, "sessions": of(past["sessions"], device), "unreached": unreached}


def _tell_the_rest(past: Row, printer: Printer) -> None:
    for each in past.get("unreached", ()):
        printer.beside(f"not known here: which sessions are over there, since {clean(each['reason'])}")
    if past.get("more"):
        printer.beside(
            "there are older ones: `agent log SESSION` takes their titles and ids, `agent search TEXT` what was said"
        )


def _empty(app: App, device: Row | None) -> str:
    # What to do about an empty list, as what the device that was asked for is to this one.
    if device is None or device["self"]:
        return EMPTY
    from agent.frontends.cli.peers import device_word

    word = device_word(device["name"], device["id"])
    if not device["paired"]:
        return f"{word} is not paired with this device: `agent pair` on one of the two, `agent join` on the other"
    roles = {row["id"]: row.get("role", "member") for row in app.client.call("device.list")}
    match roles.get(device["id"], "member"):
        case "guest":
            return f"{word} is a guest of this device, which sees none of its sessions"
        case "host":
            return f"no session of {word} is open to this device, which is its guest: ask its owner"
        case _:
            return f"no sessions there yet: start one with `agent new --on {word}`"


def screen(rows: Sequence[Row], printer: Printer, *, everything: bool) -> list[str]:
    """All that `--watch` shows on a terminal."""
    away = [] if everything else folded(rows, {}, printer)
    below = away if rows else [EMPTY]
    room = printer.columns or 0
    return [*lines(shown(rows, everything), printer), *(printer.paint(fit(line, room), "dim") for line in below)]


def shown(rows: Sequence[Row], everything: bool) -> list[Row]:
    """The sessions that are listed: the live ones, unless everything is asked for."""
    return [row for row in rows if everything or not row.get("away")]


def folded(rows: Sequence[Row], devices: Mapping[str, Row], printer: Printer) -> list[str]:
    """A line for each device that is out of reach: since when, and how many sessions it had (R12)."""
    away: dict[str, list[Row]] = {}
    for row in rows:
        if row.get("away"):
            away.setdefault(row["device"]["id"], []).append(row)
    told = []
    for device, its in sorted(away.items(), key=lambda each: device_of(each[1][0]).casefold()):
        row = devices.get(device) or {}
        lasting = duration_since(row.get("since") or row.get("heard_at") or "", printer.now())
        told.append(f"{device_of(its[0])} is offline{lasting}: {counted(len(its), 'session')} (`agent sessions --all`)")
    return told


def refusing(devices: Iterable[Row]) -> list[str]:
    """A line for each paired device that is there and does not accept this one: why it has no sessions (R14)."""
    there = [row for row in devices if row["paired"] and row["state"] == "online" and row.get("reason")]
    return sorted(f"{clean(row['name']) or short_device(row['id'])} {clean(row['reason'])}" for row in there)


def of(rows: Sequence[Row], device: str) -> list[Row]:
    """The sessions of one device; of all, if `device` is empty."""
    return [row for row in rows if not device or row["device"]["id"] == device]


def lines(rows: Sequence[Row], printer: Printer) -> list[str]:
    """The table of sessions: local ones, then those of others under a heading, which is there only if they are (R6)."""
    if not rows:
        return []
    rows = sorted(sorted(rows, key=lambda row: row["id"]), key=lambda row: row["updated_at"], reverse=True)  # R4
    parts = {
        "": [row for row in rows if row["local"] and not row.get("closed")],
        REMOTE: [row for row in rows if not row["local"] and not row.get("away") and not row.get("closed")],
        AWAY: [row for row in rows if row.get("away")],
        OVER: [row for row in rows if row.get("closed")],
    }
    if not printer.tty:
        return [tabbed(_fields(row)) for part in parts.values() for row in part]
    short = short_ids([row["id"] for row in rows])
    told: list[Line] = []
    for name, part in parts.items():
        if name and part:
            told.append(Heading(name))
        for row in part:
            told += _cells(row, short[row["id"]], printer)
    return TABLE.lines(printer, told)


def _status(row: Row) -> str:
    return row["status"] if row["status"] in _STYLES else "idle"  # R7


def _reach(row: Row) -> str:
    if row.get("away"):
        return "offline"
    if row.get("stale"):
        return "stale"
    if row.get("closed"):
        return "closed"
    return "" if row["local"] or row["attachable"] else "not paired"


def _watching(row: Row) -> int:
    return sum(each["count"] for each in row.get("participants", ()))


def _cells(row: Row, shown: str, printer: Printer) -> list[Line]:
    status, reach, watching = _status(row), _reach(row), _watching(row)
    program, _, remark = row.get("program", "").partition(": ")
    marks = ", ".join(filter(None, (_share(row), f"{watching} watching" if watching else "")))
    words = [status.replace("-", " "), *([f"({reach})"] if reach else [])]
    if row.get("queued"):
        words.append(f"+{row['queued']}")
    dim: Style = "dim" if row.get("stale") or not row["attachable"] else ""
    cells: list[Cell] = [(" ".join(words), dim or _STYLES[status]), (title_of(row), dim), (marks, dim),
                         (device_of(row), dim), (row["backend"], dim), (program, dim), (_where(row), dim),
                         (printer.when(row["updated_at"]), dim), (shown, dim)]  # fmt: skip
    question = row.get("question") if status == "needs-input" else ""
    screen = row.get("screen", "")
    below = [
        *([Below((f"? {question}", dim or "yellow"))] if question else []),
        *([Below((f"{screen} is on the screen", "dim"))] if screen else []),
        *([Below((remark, "dim"))] if remark else []),
    ]
    return [cells, *below]


def _fields(row: Row) -> list[str]:
    # In a pipe. What was there first stays in its place; more is added at the end.
    return [
        _status(row),
        title_of(row),
        device_of(row),
        row["backend"],
        row["updated_at"],
        row["id"],
        _reach(row) or ("here" if row["local"] else "online"),
        str(row.get("queued", 0)),
        _share(row),
        str(_watching(row)),
        row.get("cwd", ""),
        row.get("question", ""),
        row.get("program", ""),
    ]


def _share(row: Row) -> str:
    return "" if row.get("share", "all") == "all" else str(row["share"])


def _where(row: Row) -> str:
    return str(row.get("short_cwd") or row.get("cwd", ""))


def title_of(row: Row) -> str:
    """The title of a session, or that it has none."""
    return session_title(row["title"])


def device_of(row: Row) -> str:
    """The name of a session's device, or the short id."""
    return clean(row["device"]["name"]).strip() or short_device(row["device"]["id"])
