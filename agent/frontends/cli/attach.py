"""`agent attach`: which session is followed, in which way, and what is offered of one that has ended."""

from __future__ import annotations

import asyncio
from typing import Literal, NamedTuple

import click

from agent.client.follow import Mark, follow
from agent.client.stream import Stream, streaming
from agent.client.terminal_text import clean
from agent.client.view import Hydration, SessionView
from agent.errors import SessionEnded
from agent.frontends.cli.attachment import STDIN, TextAttachment, has_screen, is_lively, restart_hint
from agent.frontends.cli.complete import complete_session
from agent.frontends.cli.keyboard import read_key
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.parameters import Whole
from agent.frontends.cli.patience import START_SECONDS, saying, wait_option
from agent.frontends.cli.picker import choose
from agent.frontends.cli.screen import SplitScreen
from agent.frontends.cli.tail import LINES, TranscriptTail
from agent.protocol.messages import History
from agent.protocol.methods import SESSION_HISTORY
from agent.protocol.waiting import PATIENCE

SCREEN_OFFER = "Enter shows it, t text, q leaves"


class AttachmentEnd(NamedTuple):
    """How following a session ended, and what comes next."""

    status: int
    session: str  # its id
    then: Literal["", "screen", "over"] = ""  # its screen is wanted; it had ended before


@click.command()
@click.argument("session", required=False, shell_complete=complete_session)
@click.option("--tail", type=Whole(), default=LINES, show_default=True, metavar="N",
              help="Print the last N lines of its transcript.")  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Print all of its transcript.")
@click.option("--raw", is_flag=True, help="Show its terminal as it is: of a shell, or of any program.")
@click.option("--detach-key", metavar="KEY", default="ctrl-]", show_default=True, help="Key that leaves, with --raw.")
@wait_option
@click.pass_obj
def attach(
    app: App, session: str | None, *, tail: int, everything: bool, raw: bool, detach_key: str, wait: float
) -> int:
    """Follow a session, type prompts, answer its questions.

    Ctrl-C interrupts the running turn (it clears what is typed first), Alt-Enter sends a prompt that does, Up or Esc
    takes the newest waiting prompt back, Ctrl-V shows the session's terminal as it is (Ctrl-] leads back), Ctrl-D
    leaves. In a pipe every line is a prompt; at the end of the input it waits for what is running and queued. With
    --raw the program's own screen and keyboard from the start.

    While the session's device is out of reach, what is typed waits; Ctrl-C takes it back.
    """
    if raw:
        from agent.frontends.cli.raw import raw_attached_to

        return raw_attached_to(app, session or choose(app), detach_key, wait=wait)
    return attached_to(app, session or choose(app), wait=wait, lines=None if everything else tail)


def attached_to(app: App, session: str, *, wait: float = PATIENCE, lines: int | None = LINES) -> int:
    """Stay with a session; the exit status.

    `wait`: seconds that anything may wait for a device out of reach; `lines` of its transcript are printed, None: all.
    """
    while True:
        outcome = asyncio.run(_attach(app, session, wait, lines))
        if outcome.then == "screen":
            from agent.frontends.cli.raw import raw_attached_to

            return raw_attached_to(app, outcome.session, wait=wait)
        if outcome.then != "over" or not click.confirm("start it anew?", err=True):
            return outcome.status
        session = restarted(app, outcome.session)


def restarted(app: App, session: str) -> str:
    """Start a session that has ended anew; the id of the new one."""
    asked = {"session_id": session, "wait": 0}  # whoever asks twice gets two
    return str(app.client.call("session.restart", asked, seconds=START_SECONDS)["session_id"])


async def _attach(app: App, session: str, wait: float, lines: int | None) -> AttachmentEnd:
    async with streaming(app.client.path, wait=wait) as stream:
        stream.waiting = saying(app)
        printer = app.printer
        mark = Mark(session, colours=printer.color, tail=is_lively(printer))
        view = SessionView(stream.device)
        changes = view.changes(follow(stream, mark))
        try:
            first = await anext(changes)  # the terminal is touched only once there is a session
        except SessionEnded:
            return await _show_closed(app, stream, session, lines)
        assert isinstance(first, Hydration)
        if first.session is not None and has_screen(first.session) and is_lively(app.printer):
            program = clean(first.session.screen)
            what = f"{program} is on the screen" if program else "a full-screen program"
            app.printer.talk(f"-- {what}: {SCREEN_OFFER}")
            key = await read_key(STDIN, "\r\nstqy")
            if key in {"", "q"}:
                return AttachmentEnd(Exit.OK, view.session)
            if key != "t":
                return AttachmentEnd(Exit.OK, view.session, "screen")
        attachment = TextAttachment(app, stream, mark, view, lines, asked=session, wait=wait)
        status = await attachment.run(first, changes)
        return AttachmentEnd(status, view.session, "over" if attachment.was_over else "")


async def _show_closed(app: App, stream: Stream, session: str, lines: int | None) -> AttachmentEnd:
    # Nothing of a closed session is there but its log. Raises: SessionEnded, where nobody can be asked.
    page = await stream.insist(SESSION_HISTORY, History(session_id=session, limit=1))
    if not is_lively(app.printer):
        hint = f"`agent log {clean(page.session_id)}` shows it, {restart_hint(page.session_id)}"
        raise SessionEnded("that session has ended", hint=hint)
    screen = SplitScreen(app.printer, lively=True)
    log = Hydration(session=None, entries=(), truncated=True)
    await TranscriptTail(screen, lines).show(stream, page.session_id, page.seq, log)
    return AttachmentEnd(Exit.FAILED, page.session_id, "over")
