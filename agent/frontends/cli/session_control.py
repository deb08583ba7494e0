"""`agent new`, `close`, `rename`, `share`: one request each."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shlex

import click

from agent.client.terminal_text import clean
from agent.errors import BadParams, PeerUnreachable
from agent.frontends.cli import streams
from agent.frontends.cli.complete import complete_backend, complete_device, complete_session, complete_shell
from agent.frontends.cli.main import App, Exit, check_text
from agent.frontends.cli.patience import START_SECONDS, call, on_interrupt, saying, wait_option
from agent.paths import expanded
from agent.protocol.messages import CreateSession, OnSession, Rename
from agent.protocol.methods import SESSION_CLOSE, SESSION_RENAME
from agent.protocol.model import Share

LINE_OF_SHELL = re.compile(r"[\s;|&<>$`]")
"""What the name of a program hardly ever has."""
PROGRAMS = frozenset({"commands", "shell", "terminal"})
"""Backends that run a command as it is; others take it as their first prompt."""


@click.command()
@click.option("--on", metavar="DEVICE", default="", shell_complete=complete_device, help="On that device.")
@click.option("--backend", metavar="B", default="", shell_complete=complete_backend,
              help="What it is made of: see `agent backends`.")  # fmt: skip
@click.option("--shell", metavar="SHELL", default="", shell_complete=complete_shell,
              help="Which shell it is: bash, zsh, fish, or a path; default: yours.")  # fmt: skip
@click.option("--title", metavar="T", default="", help="Its title.")
@click.option("--cwd", metavar="DIR", default="", help="Its directory; default: this one, elsewhere the home.")
@click.option("--again", metavar="SESSION", default="", shell_complete=complete_session,
              help="As that session, which has ended: its backend, title, directory, command.")  # fmt: skip
@click.option("--private", is_flag=True, help="No other device may know of it; only for a session here.")
@click.option("--attach", "stay", is_flag=True, help="Attach to it at once.")
@wait_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD...]")
@click.pass_obj
def new(
    app: App,
    *,
    on: str,
    backend: str,
    shell: str,
    title: str,
    cwd: str,
    again: str,
    private: bool,
    stay: bool,
    wait: float,
    command: tuple[str, ...],
) -> int:
    """Start a session and print its id.

    Without --backend it is a shell, your own as a rule, with all that you have set up in it.

    CMD is a program with its arguments. A backend that takes none gets it as the first prompt.

    With --again it is the one that has ended, started anew where it was; an agent goes on with its own conversation.
    """
    if again:
        if on or backend or shell or title or cwd or private or command:
            raise click.UsageError("--again takes all of it from that session: leave the other options out")
        from agent.frontends.cli.attach import restarted

        return _started(app, restarted(app, again), "", stay=stay)
    if not on:
        folder = expanded(cwd)
        given, cwd = cwd, str(folder)
        check_text(cwd, "the name of the session's directory")
        if given and not folder.is_dir():
            raise click.UsageError(f"--cwd: there is no directory {cwd}")
    if not on and "/" in shell:
        shell = str(expanded(shell))
    share: Share = "private" if private else "all"
    asked = CreateSession(device=on, backend=backend, shell=shell, title=title, cwd=cwd, command=command, share=share)
    if on and shell:
        _check_choice(app, on)
    session = _created(app, asked, wait)
    line = command[0] if len(command) == 1 else ""
    if LINE_OF_SHELL.search(line) and _backend_of(app, session, backend) in PROGRAMS:
        told = f"{clean(line)!r} is one word, the name of a program"
        app.printer.hint(f"{told}; a line of shell is run by: `agent new -- sh -c {shlex.quote(clean(line))}`")
    return _started(app, session, backend, stay=stay)


def _tell_remark(app: App, session: str) -> None:
    # As that ends of commands are guessed, or that start-up files are not done.
    rows = app.client.call("session.list")
    program = next((clean(row.get("program", "")) for row in rows if row["id"] == session), "")
    if ": " in program:
        app.printer.talk(program, "yellow")
        app.printer.hint(f"`agent attach --raw {clean(session)}` shows it")


def _check_choice(app: App, device: str) -> None:
    # A lan-agent of before would make a session of another shell, and nobody would know.
    with contextlib.suppress(PeerUnreachable):  # it may be waited for
        rows = app.client.call("backend.list", {"device": device}, seconds=START_SECONDS)
        if not any(row.get("shells") for row in rows):
            hint = "update lan-agent there, or leave out --shell"
            raise BadParams(f"the lan-agent of {clean(device)} knows no choice of shells", hint=hint)


def _started(app: App, session: str, backend: str, *, stay: bool) -> int:
    streams.acted(f"session {clean(session)} was started")
    if stay:
        return _stay(app, session, backend)
    app.printer.line(clean(session))
    _tell_remark(app, session)
    return Exit.OK


def _created(app: App, asked: CreateSession, wait: float) -> str:
    import msgspec

    try:
        return str(app.client.call("session.create", msgspec.to_builtins(asked), seconds=START_SECONDS)["session_id"])
    except PeerUnreachable:  # so nothing was sent
        if not wait:
            raise
    return asyncio.run(_created_there(app, msgspec.structs.replace(asked, wait=wait)))


async def _created_there(app: App, asked: CreateSession) -> str:
    from agent.client.pending import WaitingCall
    from agent.client.stream import streaming

    call = WaitingCall(saying(app))
    async with streaming(app.client.path, patience=0.0) as stream:
        with on_interrupt(lambda: stream.take_back(call)):
            return (await stream.create(asked, call, seconds=START_SECONDS)).session_id


def _backend_of(app: App, session: str, backend: str) -> str:
    # If none was named it is the default one of that device.
    rows = [] if backend else app.client.call("session.list")
    return backend or next((row["backend"] for row in rows if row["id"] == session), "")


def _stay(app: App, session: str, backend: str) -> int:
    from agent.frontends.cli.attach import attached_to
    from agent.frontends.cli.attachment import TERMINAL

    backend = _backend_of(app, session, backend)
    if backend == TERMINAL and app.printer.tty:
        from agent.frontends.cli.raw import raw_attached_to

        return raw_attached_to(app, session)
    return attached_to(app, session)


@click.command()
@click.argument("session", shell_complete=complete_session)
@wait_option
@click.pass_obj
def close(app: App, session: str, wait: float) -> int:
    """End a session; its transcript stays."""
    call(app, SESSION_CLOSE, OnSession(session_id=session), wait=wait)
    return Exit.OK


@click.command()
@click.argument("session", shell_complete=complete_session)
@click.argument("title", nargs=-1, required=True)
@wait_option
@click.pass_obj
def rename(app: App, session: str, title: tuple[str, ...], wait: float) -> int:
    """Give a session another title."""
    call(app, SESSION_RENAME, Rename(session_id=session, title=" ".join(title)), wait=wait)
    return Exit.OK


@click.command()
@click.argument("session", shell_complete=complete_session)
@click.argument("how", type=click.Choice(["all", "read-only", "private"]))
@click.pass_obj
def share(app: App, session: str, how: str) -> int:
    """Say what other devices may do with a session of this one: use it (all), watch it, or not know of it."""
    app.client.call("session.share", {"session_id": session, "share": how})
    return Exit.OK
