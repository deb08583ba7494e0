"""`agent up`: the service itself, in the foreground."""

from __future__ import annotations

import click

from agent.frontends.cli.parameters import Whole


@click.command()
@click.option("--name", metavar="N", help="What other devices call this one; default: the host's name.")
@click.option("--port", metavar="P", type=Whole(0, 65_535),
              help="TCP port; default: that of the last start, else 7471, else any that is free.")  # fmt: skip
@click.option("--interface", "interfaces", metavar="IF", multiple=True,
              help="Use only interfaces of that name, like wlan0 or 'eth*'; may be repeated.")  # fmt: skip
def up(name: str | None, port: int | None, interfaces: tuple[str, ...]) -> int:
    """Run the service in the foreground until Ctrl-C."""
    from agent.daemon import run

    return run(name, port, list(interfaces) or None)
