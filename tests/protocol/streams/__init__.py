"""What real programs wrote on a terminal of 80 by 24 (`NAME.cast`, asciicast v2), and what a person saw (`NAME.txt`).

`python -m tests.protocol.streams NAME PROGRAM [ARGUMENT …]` records another one, and writes beside it what avt makes of
it: read that against a real terminal, and correct it by hand where avt is wrong.
"""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).parent
ROWS, COLS = 24, 80


def names() -> list[str]:
    """Of the streams that were recorded."""
    return sorted(path.stem for path in FOLDER.glob("*.cast"))


def pieces(name: str) -> list[bytes]:
    """What was written, in the pieces in which it was read."""
    lines = (FOLDER / f"{name}.cast").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)[2].encode("utf-8", "surrogateescape") for line in lines[1:]]


def seen(name: str) -> str:
    """What a person saw."""
    return (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
