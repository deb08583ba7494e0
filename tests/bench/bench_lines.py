"""Output of programs made into text, in CPU time, beside another terminal emulator that reads the same.

Run: `python -m tests.bench.bench_lines [MEGABYTES] [ROUNDS]`. Medians of interleaved rounds; pieces of 64 kB, after
each of which the text is taken, as a session does. `longest`: the CPU time of the longest piece, for which the loop of
the service serves nobody else. `x`: how long avt (Rust, `pyavt`) takes, divided by ours.

Ends with 1 below 25 MB/s for plain lines, 5 MB/s for progress bars, or beyond 20 ms for a piece.
"""

from __future__ import annotations

import statistics
import sys
import time

import avt

from agent.protocol.terminal_lines import TerminalLines

PIECE = 65_536
ROWS, COLS = 24, 80
TARGETS = {"plain lines": 25.0, "progress bars": 5.0}
LONGEST = 20.0
"""Milliseconds."""


def repeated(unit: bytes, size: int) -> bytes:
    return unit * (size // len(unit) + 1)


def streams(size: int) -> dict[str, bytes]:
    """What programs write, by name: so many bytes of each, and not less."""
    bar = b"".join(
        b"\r %3d%%|%s%s| %d/100 [00:%02d<00:10, 9.87it/s]"
        % (each, b"#" * (each // 2), b" " * (50 - each // 2), each, each % 60)
        for each in range(100)
    )
    docker = b"".join(
        b"\x1b[1A\x1b[2K\rlayer %d: Downloading [%s>] %d MB\r\n" % (each, b"=" * (each % 40), each)
        for each in range(100)
    )
    return {
        "plain lines": repeated(b"x" * 79 + b"\r\n", size),
        "short lines": repeated(b"y\r\n", size // 4),
        "one long line": repeated(b"all of it in one line, ", size),
        "ls in colours": repeated(b"\x1b[0m\x1b[01;34mfolder\x1b[0m  \x1b[01;32mprogram\x1b[0m  file.txt\r\n", size),
        "grep in colours": repeated(
            b"\x1b[35m\x1b[Kfile.c\x1b[m\x1b[K:a line with a \x1b[01;31m\x1b[Kword\x1b[m\x1b[K in it\r\n", size
        ),
        "UTF-8": repeated("Žluťoučký kůň, 漢字かな交じり文 ✓\r\n".encode(), size),
        "progress bars": repeated(bar + b"\r\n", size // 4),
        "rows drawn again": repeated(docker, size // 4),
    }


def ours(data: bytes) -> tuple[float, float]:
    """CPU seconds for all of it, and for its longest piece."""
    lines = TerminalLines(ROWS, COLS)
    lines.begin()
    longest, began = 0.0, time.process_time()
    before = began
    for at in range(0, len(data), PIECE):
        lines.feed(data[at : at + PIECE])
        lines.take()
        now = time.process_time()
        longest, before = max(longest, now - before), now
    lines.tail()
    lines.end()
    return time.process_time() - began, longest


def theirs(data: bytes) -> float:
    """CPU seconds of avt for the same."""
    text = data.decode()
    emulator = avt.Vt(COLS, ROWS, 0)
    began = time.process_time()
    for at in range(0, len(text), PIECE):
        emulator.feed_str(text[at : at + PIECE])
    return time.process_time() - began


def main(megabytes: int = 8, rounds: int = 5) -> None:
    missed = []
    for name, data in streams(megabytes * 1_000_000).items():
        taken = [(*ours(data), theirs(data)) for _ in range(rounds)]
        seconds, longest, other = (statistics.median(each) for each in zip(*taken, strict=True))
        speed = len(data) / seconds / 1e6
        print(
            f"{name:18} {speed:6.1f} MB/s   longest {longest * 1000:5.1f} ms"
            f"   avt {len(data) / other / 1e6:6.1f} MB/s   {other / seconds:5.2f} x"
        )
        if speed < TARGETS.get(name, 0) or longest * 1000 > LONGEST:
            missed.append(name)
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
