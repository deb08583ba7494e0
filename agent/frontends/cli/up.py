"""`agent up`: the service itself, in the foreground."""

from __future__ import annotations

import click


@click.command()
@click.option("--name", metavar="N", help="What this device is called; default: the host's name.")
@click.option("--port", metavar="P", type=click.IntRange(0, 65_535), help="Listen there; 7471 if free, else any.")
@click.option("--interface", "interfaces", metavar="IF", multiple=True, help="Only this one; patterns, several times.")
def up(name: str | None, port: int | None, interfaces: tuple[str, ...]) -> int:
    """Run the service in the foreground until Ctrl-C."""
    from agent.daemon import run

    return run(name, port, list(interfaces) or None)
