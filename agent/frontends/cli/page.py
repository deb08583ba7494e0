"""`agent page`: open the page in the browser, logged in; or say how to, or end all its logins."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from agent.client.terminal_text import clean
from agent.frontends.cli.main import App, Exit


@click.command()
@click.option(
    "--code", is_flag=True, help="Show a code to type into the page, for a browser that is not on this machine."
)
@click.option("--logout", is_flag=True, help="End every login of the page, in all browsers.")
@click.option(
    "--print", "only_print", is_flag=True, help="Print the address of the file that logs in, and open nothing."
)
@click.pass_obj
def page(app: App, code: bool, logout: bool, only_print: bool) -> int:
    """Open the page in the browser, logged in for 12 hours."""
    if code + logout + only_print > 1:
        raise click.UsageError("--code, --logout and --print exclude each other")
    if logout:
        logins = app.client.call("page.logout")["logins"]
        app.printer.talk("no browser was logged in" if not logins else f"logged out: {logins}")
        return Exit.OK
    opened = app.client.call("page.open", {"code": code})
    if code:
        _show_code(app, opened)
        return Exit.OK
    address = Path(opened["file"]).as_uri()
    if only_print or not _has_browser():
        app.printer.line(address)
        if not only_print:
            app.printer.hint("there is no browser here: `agent page --code` is for one on another machine")
        return Exit.OK
    app.printer.talk(f"opening {opened['url']}, logged in for 12 hours (`agent page --logout` ends that)")
    app.printer.hint("a browser that cannot read the file, as those of Snap and Flatpak: `agent page --code`")
    if not webbrowser.open(address):
        app.printer.error(
            "no browser could be started", f"open {address} in one within a minute, or `agent page --code`"
        )
        return Exit.FAILED
    return Exit.OK


def _show_code(app: App, opened: dict[str, Any]) -> None:
    app.printer.line(clean(opened["code"]))
    port = urlsplit(opened["url"]).port
    if os.environ.get("SSH_CONNECTION"):
        app.printer.talk(f"on the machine with the browser: ssh -L {port}:127.0.0.1:{port} HOST")
    for url in (opened["url"], *opened.get("also", ())):
        app.printer.talk(f"open {clean(url)} and type the code there within a minute")


def _has_browser() -> bool:
    # A text browser on the way to a machine far away is none that shows the page.
    if sys.platform == "darwin":
        return not os.environ.get("SSH_CONNECTION")
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("BROWSER"))
