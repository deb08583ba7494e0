"""Records one stream, as the package says."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import sys
import termios
import time

import avt

from tests.protocol.streams import COLS, FOLDER, ROWS


def recorded(command: list[str]) -> list[tuple[float, str]]:
    """What a program writes, and when."""
    child, master = pty.fork()
    if child == 0:
        os.environ.update({"TERM": "xterm-256color", "COLUMNS": str(COLS), "LINES": str(ROWS)})
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLS, 0, 0))
        os.execvp(command[0], command)
    events: list[tuple[float, str]] = []
    began = time.perf_counter()
    while True:
        try:
            data = os.read(master, 65_536)
        except OSError:
            data = b""
        if not data:
            os.waitpid(child, 0)
            return events
        events.append((round(time.perf_counter() - began, 3), data.decode("utf-8", "surrogateescape")))


def main(name: str, command: list[str]) -> None:
    events = recorded(command)
    with (FOLDER / f"{name}.cast").open("w", encoding="utf-8") as cast:
        print(json.dumps({"version": 2, "width": COLS, "height": ROWS}), file=cast)
        for at, text in events:
            print(json.dumps([at, "o", text]), file=cast)
    emulator = avt.Vt(COLS, ROWS)
    emulator.feed_str("".join(text for _, text in events))
    lines = [line.rstrip() for line in emulator.text()]
    (FOLDER / f"{name}.txt").write_text("\n".join(lines).rstrip("\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
