"""`agent withdraw` and `agent interrupt`: what waits is taken back, what runs is stopped (S12)."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import click
import msgspec

from agent.client.prompts import excerpt, prompt_word, prompts_named, to_withdraw
from agent.client.reading import name_of
from agent.client.terminal_text import clean
from agent.errors import Ambiguous, PromptNotFound
from agent.frontends.cli import streams
from agent.frontends.cli.complete import complete_prompt, complete_session
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.output import Printer
from agent.frontends.cli.patience import call, wait_option
from agent.frontends.cli.table import Column, Table
from agent.protocol.events import TEXT_MAX
from agent.protocol.messages import Interrupt, Interrupted, OnSession
from agent.protocol.methods import PROMPT_LIST, PROMPT_WITHDRAW, SESSION_INTERRUPT
from agent.protocol.prompts import PromptQueue, QueuedPrompt, Withdraw, Withdrawn

QUEUE = Table(Column("PROMPT", typed=True), Column("FROM", least=6), Column("TEXT", least=16), left_out=("FROM",))


@click.command()
@click.argument("session", shell_complete=complete_session)
@click.argument("prompt", required=False, shell_complete=complete_prompt)
@click.option("--list", "listed", is_flag=True, help="Only list what waits, what runs next first.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@wait_option
@click.pass_obj
def withdraw(app: App, *, session: str, prompt: str | None, listed: bool, as_json: bool, wait: float) -> int:
    """Take back a prompt that waits, so that it never runs, and print its text.

    PROMPT is the beginning of its id, as --list shows it; without it, the newest prompt that this device has sent.
    Whoever sent a prompt may take it back, and the session's own device may take back any.
    """
    queue = call(app, PROMPT_LIST, OnSession(session_id=session), wait=wait)
    if listed:
        _print_queue(app.printer, queue, as_json=as_json)
        return Exit.OK
    own = "" if prompt else app.client.call("peer.list")[0]["id"]
    prompt_id = pick(queue, prompt, session, own)
    told = call(app, PROMPT_WITHDRAW, Withdraw(session_id=session, prompt_id=prompt_id), wait=wait)
    if told.status == "withdrawn":
        streams.acted(f"the prompt was taken back, and `agent log {_word(session)}` has its text")
    if as_json:
        app.printer.json({"prompt_id": prompt_id, **msgspec.to_builtins(told)})
    elif told.status == "withdrawn":
        _give_back(app.printer, told)
        left = [each for each in queue if each.prompt_id != prompt_id]
        if len(left) == len(queue) and told.by is not None:
            app.printer.talk(f"it was taken back before, by {name_of(told.by)}")
        else:
            app.printer.talk(f"taken back; {len(left)} still waiting" if left else "taken back")
    elif told.running:
        app.printer.error("too late: it runs already", f"`agent interrupt {_word(session)}` stops it")
    else:
        app.printer.error("it waits no more", f"`agent log {_word(session)}` shows what became of it")
    return Exit.OK if told.status == "withdrawn" else Exit.FAILED


def pick(queue: Sequence[QueuedPrompt], wanted: str | None, session: str, own: str) -> str:
    """The id of the prompt that is meant; without `wanted`, of the newest one that the device `own` has sent.

    One that waits no more is for the session's device to judge. Raises: PromptNotFound, Ambiguous.
    """
    if wanted is None:
        newest = PromptQueue(queue).newest_of(own)
        if newest is not None:
            return newest.prompt_id
        if not queue:
            hint = f"it may have begun: `agent interrupt {_word(session)}` stops what runs"
            raise PromptNotFound(f"nothing waits in {session}", hint=hint)
        hint = f"{to_withdraw(session, queue[0].prompt_id)} takes back what runs next, on the session's own device"
        raise PromptNotFound(f"nothing of this device waits; of others {prompts_named(queue)}", hint=hint)
    found = [each for each in queue if each.prompt_id.startswith(wanted)]
    exact = [each for each in found if each.prompt_id == wanted]
    if len(exact or found) > 1:
        listed = "\n".join(f"{clean(each.prompt_id)}  {clean(excerpt(each.text))}" for each in found)
        raise Ambiguous(f"several prompts begin with {wanted!r}:\n{listed}", hint="give more characters of the id")
    return (exact or found)[0].prompt_id if found else wanted


def _print_queue(printer: Printer, queue: Sequence[QueuedPrompt], *, as_json: bool) -> None:
    if as_json:
        printer.json(msgspec.to_builtins(queue))
        return
    if not queue:
        printer.talk("nothing waits")
    else:
        word = prompt_word if printer.tty else str
        rows = [(word(each.prompt_id), each.sender.name, " ".join(each.text.split())) for each in queue]
        for line in QUEUE.lines(printer, rows):
            printer.line(line)


def _give_back(printer: Printer, told: Withdrawn) -> None:
    # A terminal gets it cleaned, line by line; a pipe as it was sent.
    lines = told.text.split("\n")
    printer.line("\n".join(clean(line, TEXT_MAX) for line in lines) if printer.tty else told.text)


@click.command()
@click.argument("session", shell_complete=complete_session)
@click.option("--all", "everything", is_flag=True, help="Take back what waits, too.")
@wait_option
@click.pass_obj
def interrupt(app: App, session: str, everything: bool, wait: float) -> int:
    """Stop the running turn of a session. What waits behind it runs then, unless --all takes it back.

    With --all on another device than the session's own, only what this device has sent is taken back.
    """
    told = call(app, SESSION_INTERRUPT, Interrupt(session_id=session, all=everything), wait=wait)
    for line in interrupted_lines(told, session, everything=everything):
        app.printer.talk(line)
    if everything and told.dropped is None:
        hint = "update it there; the turn was stopped, and what waits runs now"
        app.printer.error("the lan-agent of the session's device is too old to take back what waits", hint)
        return Exit.FAILED
    return Exit.OK


def interrupted_lines(told: Interrupted, session: str, *, everything: bool) -> list[str]:
    """What a person is told of an interrupt: what was stopped, what was taken back, what runs next."""
    lines = ["nothing runs"] if told.turn == 0 and not told.dropped else []
    if told.dropped:
        lines.append(f"taken back: {prompts_named(told.dropped)}")
    if told.queue and everything:
        lines.append(f"of other devices, still to run: {prompts_named(told.queue)}")
    elif told.queue:
        takes_back = f"`agent interrupt {_word(session)} --all` takes back what waits"
        lines.append(f"runs next: {prompts_named(told.queue)}; {takes_back}")
    return lines


def _word(session: str) -> str:
    # As a shell takes it: a title may have blanks.
    return shlex.quote(clean(session))
