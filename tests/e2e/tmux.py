"""A person's terminal for end-to-end tests: a window of tmux with a shell in it, typed on and looked at."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Self

from tests.e2e.device import PROGRAM, Device, until


def missing_tmux() -> str:
    """What is not installed of tmux and the programs that are shown in it; empty if nothing."""
    return ", ".join(tool for tool in ("tmux", "vim", "less", "bash") if shutil.which(tool) is None)


class Window:
    """One terminal of a device. A context manager; its tmux ends with it."""

    def __init__(self, device: Device, socket: Path, *, rows: int = 24, cols: int = 80) -> None:
        self._device, self._socket, self._rows, self._cols = device, socket, rows, cols

    def __enter__(self) -> Self:
        shell = "env PS1='prompt> ' bash --norc --noprofile"
        self._tmux("new-session", "-d", "-x", str(self._cols), "-y", str(self._rows), shell)
        self._tmux("set-option", "-g", "status", "off")
        self._tmux("resize-window", "-x", str(self._cols), "-y", str(self._rows))
        self.wait_for("prompt>")
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server")

    def _tmux(self, *words: str) -> str:
        environ = {name: value for name, value in self._device.environ.items() if not name.startswith("TMUX")}
        command = ["tmux", "-S", str(self._socket), "-f", "/dev/null", *words]
        return subprocess.run(
            command, env={**environ, "TERM": "xterm-256color"}, check=True, capture_output=True, text=True, timeout=20
        ).stdout

    def agent(self, *argv: str) -> None:
        """Type a command of the device's, and after it its exit status."""
        self.line(f"{shlex.join([*PROGRAM, *argv])}; echo status=$?")

    def line(self, text: str) -> None:
        """Type a line and Enter."""
        self._tmux("send-keys", "-l", text)
        self.press("Enter")

    def type(self, text: str) -> None:
        """Type characters."""
        self._tmux("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self._tmux("send-keys", *keys)

    def resize(self, rows: int, cols: int) -> None:
        """Make the window larger or smaller."""
        self._tmux("resize-window", "-x", str(cols), "-y", str(rows))

    def text(self) -> str:
        """What is on the screen."""
        return self._tmux("capture-pane", "-p")

    def state(self) -> str:
        """What is switched on in the terminal: modes, and how the shell set it."""
        flags = ("alternate_on", "cursor_flag", "mouse_any_flag", "keypad_flag", "keypad_cursor_flag", "wrap_flag",
                 "insert_flag", "origin_flag", "scroll_region_upper", "scroll_region_lower")  # fmt: skip
        return self._tmux("display-message", "-p", " ".join(f"#{{{flag}}}" for flag in flags))

    def settings(self) -> str:
        """The line settings that programs find."""
        name = self._tmux("display-message", "-p", "#{pane_tty}").strip()
        return subprocess.run(["stty", "-a", "-F", name], check=True, capture_output=True, text=True).stdout

    def wait_for(self, *texts: str, seconds: float = 15.0) -> str:
        """The screen, once all of these are on it."""
        until(lambda: all(text in self.text() for text in texts), lambda: f"{texts} on\n{self.text()}", seconds=seconds)
        return self.text()
