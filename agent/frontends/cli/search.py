"""`agent search`, `agent forget`: find what was said, and delete what is over."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from agent.client.terminal_text import clean, fit, session_title, width
from agent.errors import AgentError
from agent.frontends.cli.complete import complete_device, complete_past_session
from agent.frontends.cli.main import STATUS_OF, App, Exit
from agent.frontends.cli.output import Printer, short_device
from agent.frontends.cli.parameters import Whole
from agent.frontends.cli.table import tabbed

Row = dict[str, Any]
"""A hit as `session.search` gives it, a session as `session.past` does, without the cost of importing their types."""

ASKED_SECONDS = 30.0
"""All devices are asked at once, and an old database may still be indexed."""
DELETED_SECONDS = 600.0
"""The file is written anew: 1 GB takes some 20 s."""
QUERY_MAX = 1024
"""Characters of a query, as `agent.protocol.transcripts` has it."""
ID = 8
"""Characters of an id that are shown: 40 random bits, which no two sessions of a person share."""
KINDS = {
    "message.user": "prompt",
    "message.complete": "reply",
    "tool.start": "tool",
    "tool.complete": "output",
    "request.open": "question",
    "request.closed": "answer",
    "session.info": "title",
}


@click.command()
@click.argument("text", nargs=-1, required=True)
@click.option("--all-devices", "everywhere", is_flag=True, help="Search on all devices that can be reached.")
@click.option("--on", metavar="DEVICE", default="", shell_complete=complete_device, help="Search on that device.")
@click.option("--limit", type=Whole(1, 200), default=20, metavar="N",
              help="At most N of each device, the newest; default 20.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.pass_obj
def search(app: App, *, text: tuple[str, ...], everywhere: bool, on: str, limit: int, as_json: bool) -> int:
    """Search what was said in all sessions of this device, live and over.

    All words must be in one prompt, reply, tool or question. A word that ends in * is the beginning of one, words in
    quotes (within those of the shell) follow each other.
    """
    words = " ".join(text)
    if len(words) > QUERY_MAX:
        raise click.UsageError(f"{len(words):,} characters to search for; {QUERY_MAX:,} are allowed")
    asked: Row = {"text": words, "scope": "all" if everywhere else "local", "device": on, "limit": limit}
    found = app.client.call("session.search", asked, seconds=ASKED_SECONDS)
    if as_json:
        app.printer.json(found)
    else:
        for line in hit_lines(found["hits"], app.printer):
            app.printer.line(line)
    _tell_the_rest(app, found, everywhere=everywhere or bool(on), limit=limit)
    return Exit.OK


def hit_lines(hits: Sequence[Row], printer: Printer) -> list[str]:
    """Two lines for each hit: where it is and how to open it, then the words; in a pipe one line of fields."""
    if not printer.tty:
        return [
            tabbed([each["session_id"], session_title(each["title"]), _device(each), each["at"], str(each["seq"] - 1),
                    _kind(each), clean(each["excerpt"], 1024)])
            for each in hits
        ]  # fmt: skip
    told = []
    for each in hits:
        where = f"{session_title(each['title'])} · {_device(each)} · {printer.when(each['at'])}"
        opens = " ".join(("  agent", "log", clean(each["session_id"])[:ID], "--since", str(max(0, each["seq"] - 1))))
        head = fit(where, max(20, (printer.columns or 80) - width(opens)))
        told += [printer.paint(head, "bold") + printer.paint(opens, "dim"), _words(each, printer)]
    return told


def _words(hit: Row, printer: Printer) -> str:
    # What was found is painted; the places are those of the text as it came, so each piece is cleaned by itself.
    label = f"  {_kind(hit)}: "
    room = (printer.columns or 80) - width(label)
    told, at, text = printer.paint(label, "dim"), 0, str(hit["excerpt"])
    pieces = [piece for start, end in hit.get("marks", ()) for piece in ((start, ""), (end, "yellow"))]
    for end, style in [*pieces, (len(text), "")]:
        piece = fit(clean(text[at:end], 1024), room)
        told += printer.paint(piece, "yellow") if style else piece
        room -= width(piece)
        at = max(at, end)
        if room <= 0:
            break
    return told


def _kind(hit: Row) -> str:
    return KINDS.get(hit["type"], clean(hit["type"]))


def _device(row: Row) -> str:
    return clean(row["device"]["name"]).strip() or short_device(row["device"]["id"])


def _tell_the_rest(app: App, found: Row, *, everywhere: bool, limit: int) -> None:
    printer = app.printer
    if not found["hits"]:
        printer.talk("nothing found")
    for each in found.get("unreached", ()):
        printer.talk(f"not searched: {clean(each['reason'])}", "yellow")
    for name in found.get("indexing", ()):
        printer.talk(f"{clean(name)} is still indexing its transcripts: search again in a moment", "yellow")
    if found.get("more"):
        printer.hint(f"there are more: `--limit {min(200, limit * 5)}`, or more words")
    elif not found["hits"] and not everywhere:
        others = any(row["paired"] and not row["self"] for row in app.client.call("peer.list"))
        more = "`agent search --all-devices TEXT` searches on the others, too; " if others else ""
        printer.hint(f"{more}`begin*` finds beginnings of words")


@click.command()
@click.argument("sessions", nargs=-1, required=True, metavar="SESSION...", shell_complete=complete_past_session)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def forget(app: App, *, sessions: tuple[str, ...], yes: bool) -> int:
    """Delete the transcripts of sessions of this device that are over, for good."""
    if not yes and not (sys.stdin.isatty() and app.printer.err_tty):
        raise click.UsageError("nobody can be asked here whether to delete: add --yes")
    rows, status = _meant(app, sessions)
    if status:
        return status
    for row in rows:
        try:
            forgotten = _forget(app, row, asks=not yes)
        except AgentError as exc:  # the others are deleted all the same
            app.printer.error(str(exc), exc.hint)
            status = status or STATUS_OF.get(exc.kind, Exit.FAILED)
        else:
            status = status or (Exit.OK if forgotten else Exit.FAILED)
    return status


def _meant(app: App, sessions: Sequence[str]) -> tuple[list[Row], int]:
    # Each session once, all known before the first is deleted: a slip in one name costs no other one.
    rows: dict[str, Row] = {}
    status = Exit.OK
    for session in sessions:
        try:
            (row,) = app.client.call("session.past", {"named": session})["sessions"]
        except AgentError as exc:
            app.printer.error(str(exc), exc.hint)
            status = status or STATUS_OF.get(exc.kind, Exit.FAILED)
        else:
            rows[row["id"]] = row
    if status and len(sessions) > 1:
        app.printer.talk("nothing was deleted")
    return list(rows.values()), status


def _forget(app: App, row: Row, *, asks: bool) -> bool:
    named = f"{session_title(row['title'])} ({clean(row['id'])}"
    if asks and not click.confirm(
        f"delete the transcript of {named}, {app.printer.when(row['updated_at'])})?", err=True
    ):
        app.printer.talk(f"kept: {named})")
        return False
    gone = app.client.call("session.forget", {"session_id": row["id"]}, seconds=DELETED_SECONDS)
    app.printer.talk(f"deleted: {session_title(gone['title'])} ({clean(gone['session_id'])})")
    return True
