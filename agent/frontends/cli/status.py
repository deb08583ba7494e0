"""`agent status`: how this device's service is doing."""

from __future__ import annotations

from itertools import zip_longest

import click

from agent.client.terminal_text import clean
from agent.frontends.cli.main import App, Exit
from agent.frontends.cli.output import local_time, short_device
from agent.protocol.times import span


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_obj
def status(app: App, as_json: bool) -> int:
    """Show how this device's service is doing."""
    report = app.client.call("gateway.status")
    if as_json:
        app.printer.json(report)
        return Exit.OK
    addresses = ", ".join(report["addresses"]) or "none"
    shown = {
        "device": f"{report['name']} ({short_device(report['id'])})",
        "service": f"version {report['version']}, process {report['pid']}, up {span(report['uptime'])}",
        "address": f"{addresses}, port {report['port']}",
        "interfaces": ", ".join(report["interfaces"]) or "none",
        "page": _page(report.get("page", "")),
        "presence": report["presence"],
        "devices": f"{report['paired']} paired, {report['online']} online, {report['links']} linked",
        "sessions": str(report["sessions"]),
        "transcripts": _size(report.get("transcripts", 0)),
        "home": report["home"],
    }
    for problem in report["problems"]:
        app.printer.line(app.printer.paint(f"problem     {clean(problem)}", "red"))
    for notice, at in zip_longest(report["notices"], report.get("noticed_at", ())):
        when = f"{local_time(at)}  " if at else ""
        app.printer.line(app.printer.paint(f"notice      {when}{clean(notice)}", "yellow"))
    for name, text in shown.items():
        app.printer.line(f"{app.printer.paint(name.ljust(12), 'bold')}{clean(text, 4096)}")
    return Exit.OK


def _page(address: str) -> str:
    # A service that runs on from an older version serves none.
    return f"{address}, `agent page` opens it" if address else "not served"


def _size(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB" if size >= 1 << 20 else f"{size / 1024:,.0f} KiB"
