"""`agent` alone: what it is, whether the service runs, and what one does next."""

from __future__ import annotations

from pathlib import Path

from agent import __version__
from agent.client.control_socket import Client
from agent.client.terminal_text import clean
from agent.errors import AgentError, NotRunning
from agent.frontends.cli.duration import counted
from agent.frontends.cli.output import Printer, short_device

SECONDS = 2.0
"""A service that takes longer is not waited for."""
ABOUT = "Sessions of agents on all your machines, from any one of them: list, watch, prompt, answer, start."
START = ("agent up", "start the service on this device, in the foreground")
DEMO = ("agent demo", "watch three devices find, pair with and prompt each other")
PEERS = ("agent peers", "the devices on this network")
PAIR = ("agent pair", "let another device in; `agent join` there")
SESSIONS = ("agent sessions", "what runs, on all devices")
ATTACH = ("agent attach", "pick a session and follow it")
NEW = ("agent new --attach", "start a session here")
STATUS = ("agent status", "how the service is doing")
HELP = ("agent --help", "all commands")


def welcome(printer: Printer, path: Path) -> None:
    """Say what the program is, how its service, at that control socket, is doing, and which three commands lead on."""
    printer.line(f"{printer.paint(f'lan-agent {__version__}', 'bold')}  {ABOUT}")
    printer.line()
    try:
        report = Client(path, seconds=SECONDS).call("gateway.status", patience=0.0)
    except NotRunning:
        printer.line("The service is not running on this device.")
        following = [START, DEMO]
    except AgentError as exc:
        printer.line(printer.paint(clean(exc.in_full, 1000), "red"))
        following = [STATUS]
    else:
        name = f"{clean(report['name'])} ({short_device(report['id'])})"
        others = f"{counted(report['paired'], 'paired device')}, {report['online']} online"
        printer.line(f"The service runs: {name}, {others}, {counted(report['sessions'], 'session')} here.")
        for problem in report["problems"]:
            printer.line(printer.paint(f"problem: {clean(problem)}", "red"))
        following = [SESSIONS, ATTACH, NEW] if report["paired"] else [PEERS, PAIR, NEW]
    printer.line()
    for line, about in [*following, HELP]:
        printer.line(f"  {line:20}{printer.paint(about, 'dim')}")
