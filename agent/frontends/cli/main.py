"""The entry point of the `agent` command: picks the command, imports that one only, turns errors into exit statuses.

Measured: click costs 18 ms more than argparse and 30 ms in all, of the 88 ms that `agent peers` may take (half of
`import aiohttp`). It pays with completion, subcommands that load when named, and errors in its own words.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Literal

import click

from agent import __version__
from agent.client.control_socket import Client
from agent.errors import AgentError
from agent.frontends.cli import streams
from agent.frontends.cli.output import Printer
from agent.paths import control_socket_path


class Exit(IntEnum):
    """Exit statuses of every command (DESIGN §9)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_RUNNING = 3
    NOT_FOUND = 4
    NOT_PAIRED = 5
    UNREACHABLE = 6
    TIMED_OUT = 7
    BAD_CONFIG = 78
    INTERRUPTED = 130


STATUS_OF = {
    "not-running": Exit.NOT_RUNNING,
    "session-not-found": Exit.NOT_FOUND,
    "device-not-found": Exit.NOT_FOUND,
    "request-not-found": Exit.NOT_FOUND,
    "prompt-not-found": Exit.NOT_FOUND,
    "ambiguous": Exit.NOT_FOUND,
    "bad-params": Exit.USAGE,
    "not-paired": Exit.NOT_PAIRED,
    "refused": Exit.NOT_PAIRED,
    "forbidden": Exit.NOT_PAIRED,
    "read-only": Exit.NOT_PAIRED,
    "pairing-failed": Exit.NOT_PAIRED,
    "peer-unreachable": Exit.UNREACHABLE,
    "peer-lost": Exit.UNREACHABLE,
    "taken-back": Exit.INTERRUPTED,
    "timed-out": Exit.TIMED_OUT,
    "bad-config": Exit.BAD_CONFIG,
    "bad-state": Exit.BAD_CONFIG,
}
"""By the kind of the error; any other one is `Exit.FAILED`."""

SURROGATE = re.compile("[\ud800-\udfff]")
"""How Python keeps bytes that are not UTF-8. No encoding of the wire carries them."""

HELP = frozenset({"-h", "--help"})
"""Options that show the help of a command."""

# Command -> module, and what `agent --help` says of it without importing that module.
COMMANDS = {
    "up": ("agent.frontends.cli.up", "Run the service in the foreground."),
    "peers": ("agent.frontends.cli.peers", "List the devices on this network."),
    "sessions": ("agent.frontends.cli.sessions", "List the sessions of all devices."),
    "new": ("agent.frontends.cli.session_control", "Start a session, here or on another device."),
    "backends": ("agent.frontends.cli.backends", "List what sessions can be made of."),
    "acp": ("agent.frontends.cli.acp", "Be an agent for an editor, with a session of any device."),
    "hermes": ("agent.frontends.cli.hermes", "Start Hermes's terminal UI on the sessions of all devices."),
    "attach": ("agent.frontends.cli.attach", "Follow a session, type prompts, answer its questions."),
    "prompt": ("agent.frontends.cli.prompt", "Send one prompt and print the reply."),
    "answer": ("agent.frontends.cli.answer", "Answer what a session asks."),
    "set": ("agent.frontends.cli.options", "Show or set a session's model, mode and other options."),
    "interrupt": ("agent.frontends.cli.withdraw", "Stop the running turn of a session."),
    "withdraw": ("agent.frontends.cli.withdraw", "Take back a prompt that waits."),
    "close": ("agent.frontends.cli.session_control", "End a session; its transcript stays."),
    "rename": ("agent.frontends.cli.session_control", "Give a session another title."),
    "share": ("agent.frontends.cli.session_control", "Say what other devices may do with a session of this one."),
    "search": ("agent.frontends.cli.search", "Search what was said, here or on all devices."),
    "forget": ("agent.frontends.cli.search", "Delete the transcript of a session that is over."),
    "log": ("agent.frontends.cli.log", "Print a session's transcript."),
    "pair": ("agent.frontends.cli.trust", "Let another device in: show a code for it."),
    "join": ("agent.frontends.cli.trust", "Pair with the device that shows a code."),
    "unpair": ("agent.frontends.cli.trust", "Put a device out."),
    "devices": ("agent.frontends.cli.trust", "List the devices that this one trusts."),
    "audit": ("agent.frontends.cli.audit", "Show who attached, prompted and answered here."),
    "page": ("agent.frontends.cli.page", "Open the page in the browser, logged in."),
    "status": ("agent.frontends.cli.status", "Show how this device's service is doing."),
    "schema": ("agent.frontends.cli.schema", "Print what crosses the wire as JSON Schema."),
    "demo": ("agent.frontends.cli.demo", "Watch three devices find, pair with and prompt each other."),
}

ACTS = frozenset({"new", "prompt", "withdraw", "pair"})
"""Commands that first act and then print what came of it: where nothing can be printed, nothing is done."""


class App:
    """What every command is given: the service, and the person."""

    def __init__(self, printer: Printer) -> None:
        self.printer = printer
        self.client = Client(control_socket_path(os.environ), waits=self._waits)

    def _waits(self, refusal: AgentError) -> None:
        from agent.client.terminal_text import clean

        self.printer.talk(f"waiting: {clean(str(refusal))}; Ctrl-C gives up", "yellow")


class LazyGroup(click.Group):
    """Finds a command's module by name, so that starting one command imports no other."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names of the commands, in the order in which people need them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import a command by its name; None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        command = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was asked for; its help, if that is wanted, has examples. `help X` is `X --help`."""
        if args[0] == "help":
            args = [*(word for word in args[1:] if word not in HELP), "--help"]
            if len(args) == 1:
                click.echo(ctx.get_help())
                ctx.exit()
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and command is not None and not HELP.isdisjoint(rest):
            from agent.frontends.cli.examples import epilog

            command.epilog = epilog(name)
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for; each error in its words knows which one that was."""
        try:
            return super().invoke(ctx)
        except click.UsageError as exc:
            if exc.ctx is None:  # click's parser does not say whose option lacks its value
                asked = str(ctx.invoked_subcommand)
                exc.ctx = click.Context(self.get_command(ctx, asked) or self, parent=ctx, info_name=asked)
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Print the table above, importing nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": sorted(HELP), "max_content_width": 100},
    epilog="Each command has examples: `agent new --help`. `agent` alone says what to do next.",
)
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="Colour the output.")
@click.version_option(__version__, prog_name="lan-agent")
@click.pass_context
def agent(ctx: click.Context, color: Literal["auto", "always", "never"]) -> None:
    """List, watch, prompt and start agent sessions on every machine of the home network."""
    if ctx.invoked_subcommand in ACTS:
        streams.check_output()
    ctx.obj = App(Printer(color=color, environ=os.environ))
    if ctx.invoked_subcommand is None:
        from agent.frontends.cli.welcome import welcome

        welcome(ctx.obj.printer, ctx.obj.client.path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; its exit status. `argv` without the program's name, default `sys.argv`."""
    if sys.platform == "win32":
        sys.stderr.write("agent: Windows is not supported yet\n  hint: it runs on Linux and macOS\n")
        return Exit.FAILED
    streams.prepare()
    complete = os.environ.get("_AGENT_COMPLETE")
    if complete:
        from click.shell_completion import shell_complete

        return shell_complete(agent, {}, "agent", "_AGENT_COMPLETE", complete)
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except OSError as exc:
        streams.abandon()
        if exc.errno != errno.EPIPE:  # else the reader left, as in `agent log … | head`, and wants no message
            Printer(environ=os.environ).error(*streams.refused(exc))
        return Exit.FAILED
    return status


def _run(argv: list[str]) -> int:
    printer = Printer(environ=os.environ)
    try:
        check_text("".join(argv), "the command line")
        with agent.make_context("agent", argv) as ctx:
            result: Any = agent.invoke(ctx)
            return Exit.OK if result is None else int(result)
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except click.UsageError as exc:
        from agent.frontends.cli.usage import wrong_usage

        exc.ctx = exc.ctx or click.Context(agent, info_name="agent")
        printer.error(*wrong_usage(exc, COMMANDS))
        return Exit.USAGE
    except click.ClickException as exc:
        printer.error(exc.format_message())
        return exc.exit_code
    except (KeyboardInterrupt, EOFError, click.Abort):
        if printer.err_tty:
            printer.talk("")
        return Exit.INTERRUPTED
    except (AgentError, BaseExceptionGroup) as exc:
        told = _cause(exc)
        if isinstance(told, OSError):
            raise told from exc
        printer.error(str(told), told.hint)
        return STATUS_OF.get(told.kind, Exit.FAILED)


def check_text(text: str, what: str) -> None:
    """Raise UsageError for bytes that are not UTF-8, as the system gave them: in `what`, which begins the sentence."""
    if SURROGATE.search(text):
        raise click.UsageError(f"{what} is not UTF-8 text")


def _cause(exc: BaseException) -> AgentError | OSError:
    # A task group wraps what one of its tasks raised; one error is what the person needs to know of it.
    for kind in (BrokenPipeError, AgentError, OSError):
        one: BaseException | None = exc
        if isinstance(exc, BaseExceptionGroup):
            one = exc.subgroup(kind)
        while isinstance(one, BaseExceptionGroup):
            one = one.exceptions[0]
        if isinstance(one, kind):
            return one
    raise exc
