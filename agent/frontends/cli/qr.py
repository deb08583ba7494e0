"""A QR code out of characters, for a phone or another machine's camera."""

from __future__ import annotations

import os
from collections.abc import Sequence

from agent.frontends.cli.output import Printer

QUIET = 2
"""Light modules around the code. The standard says 4; scanners take 2, and more do not fit small terminals."""
_HALVES = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


def qr_lines(modules: Sequence[str]) -> list[str]:
    """A QR code in lines, two rows of modules each; dark modules, `1`, are drawn in the foreground's colour."""
    wide = len(modules) + 2 * QUIET
    inner = [[False] * QUIET + [module == "1" for module in row] + [False] * QUIET for row in modules]
    light = [[False] * wide for _ in range(QUIET)]
    rows = [*light, *inner, *light]
    if len(rows) % 2:
        rows.append([False] * wide)
    return [
        "".join(_HALVES[pair] for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    ]


def show_qr(printer: Printer, modules: Sequence[str]) -> bool:
    """Draw a QR code on stderr; whether it could be drawn: only a terminal with colours and the room for it takes one.

    Black on white, whatever the terminal's colours are: many scanners do not take a code that is inverted.
    """
    if not printer.err_tty or printer.dumb:
        return False
    try:
        "▀▄█".encode(printer.err.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    lines = qr_lines(modules)
    try:
        columns = os.get_terminal_size(printer.err.fileno()).columns or 80
    except (OSError, ValueError):
        return False
    if len(lines[0]) > columns:
        return False
    printer.out.flush()
    printer.err.writelines(f"\x1b[30;107m{line}\x1b[0m\n" for line in lines)
    printer.err.flush()
    return True
