"""`agent new`, `close`, `rename`, `share`: one request each."""

from __future__ import annotations

import click

from agent.client.terminal_text import clean
from agent.frontends.cli.complete import complete_backend, complete_device, complete_session
from agent.frontends.cli.main import App, Exit, check_text
from agent.frontends.cli.patience import call, wait_option
from agent.paths import expanded
from agent.protocol.messages import OnSession, Rename
from agent.protocol.methods import SESSION_CLOSE, SESSION_RENAME

START_SECONDS = 90.0
"""A peer may have to be dialled, and an agent to be started, before a session answers."""


@click.command()
@click.option("--on", metavar="DEVICE", default="", shell_complete=complete_device, help="On that device.")
@click.option("--backend", metavar="B", default="", shell_complete=complete_backend,
              help="What it is made of: see `agent backends`.")  # fmt: skip
@click.option("--title", metavar="T", default="", help="Its title.")
@click.option("--cwd", metavar="DIR", default="", help="Its directory; default: this one, elsewhere the home.")
@click.option("--private", is_flag=True, help="No other device may know of it; only for a session here.")
@click.option("--attach", "stay", is_flag=True, help="Attach to it at once.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD...]")
@click.pass_obj
def new(
    app: App, *, on: str, backend: str, title: str, cwd: str, private: bool, stay: bool, command: tuple[str, ...]
) -> int:
    """Start a session and print its id."""
    if not on:
        folder = expanded(cwd)
        given, cwd = cwd, str(folder)
        check_text(cwd, "the name of the session's directory")
        if given and not folder.is_dir():
            raise click.UsageError(f"--cwd: there is no directory {cwd}")
    asked = {"device": on, "backend": backend, "title": title, "cwd": cwd, "command": command}
    if private:
        asked["share"] = "private"
    session = str(app.client.call("session.create", asked, seconds=START_SECONDS)["session_id"])
    if stay:
        return _stay(app, session, backend)
    app.printer.line(clean(session))
    return Exit.OK


def _stay(app: App, session: str, backend: str) -> int:
    from agent.frontends.cli.attach import TERMINAL, attached_to

    if not backend:  # that device's default
        backend = next((row["backend"] for row in app.client.call("session.list") if row["id"] == session), "")
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
