"""The environment of a program that is given a terminal of its own.

The service got its environment where it was started: in some other terminal, under tmux, over ssh, in an editor, or by
a supervisor. What tells of that place, or of that moment, is wrong for a program which is watched from elsewhere, days
later: with `TMUX` it talks to a multiplexer that is not around it, with `NOTIFY_SOCKET` to the service's supervisor.

Source: the manuals of tmux, screen, ssh, xterm, VTE, kitty, WezTerm, iTerm2, VS Code; systemd.exec(5), sd_notify(3).
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

from agent.adapters.backends.process_owner import SESSION_MARK
from agent.protocol.model import SessionId

TERM = "xterm-256color"
_TERMINALS = (
    "ALACRITTY_", "COLORFGBG", "COLUMNS", "GHOSTTY_", "GNOME_TERMINAL_", "ITERM_", "KITTY_", "KONSOLE_", "LC_TERMINAL",
    "LC_TERMINAL_VERSION", "LINES", "NO_COLOR", "SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY", "STY", "TERMCAP", "TERM_",
    "TERMINATOR_UUID", "TILIX_", "TMUX", "TMUX_", "VSCODE_", "VTE_VERSION", "WEZTERM_", "WINDOW", "WINDOWID", "XTERM_",
    "ZELLIJ", "ZELLIJ_",
)  # fmt: skip
"""Names, and beginnings of names that end in "_", that tell of another terminal than the program's own."""
_MOMENTS = (
    "INVOCATION_ID", "JOURNAL_STREAM", "LAN_AGENT_BOX", "LAN_AGENT_RC", "LAN_AGENT_ZDOTDIR", "LISTEN_", "MAINPID",
    "MANAGERPID", "MEMORY_PRESSURE_", "NOTIFY_SOCKET", "OLDPWD", "PWD", "SHLVL", "SYSTEMD_EXEC_PID", "WATCHDOG_",
)  # fmt: skip
"""The same for what tells how the service was started, or of a shell around it."""
_NAMES = frozenset((*_TERMINALS, *_MOMENTS))
_BEGINNINGS = tuple(name for name in _NAMES if name.endswith("_"))
_ANSWER_SECONDS = 0.2


def terminal_environment(environ: Mapping[str, str], session: SessionId) -> dict[str, str]:
    """The environment of a session's program on a terminal, made of the service's own."""
    kept = {name: value for name, value in environ.items() if name not in _NAMES and not name.startswith(_BEGINNINGS)}
    return kept | {"TERM": TERM, "COLORTERM": "truecolor", SESSION_MARK: session}


def dead_ssh_agent(environ: Mapping[str, str]) -> str:
    """What to tell if `SSH_AUTH_SOCK` leads to an ssh-agent that does not answer, as a line; empty if all is well.

    That of a login which is over stays in a service that was started from it: ssh and git then fail, or ask for the
    passphrase, and none of them says why.
    """
    path = environ.get("SSH_AUTH_SOCK", "")
    if not path or _answers(path):
        return ""
    return f"SSH_AUTH_SOCK={path}: no ssh-agent answers there any more, so ssh has no keys of one\n"


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.settimeout(_ANSWER_SECONDS)
        try:
            agent.connect(path)
        except TimeoutError:
            return True  # busy, not gone
        except (OSError, ValueError):  # ValueError: a zero byte in the path
            return False
    return True
