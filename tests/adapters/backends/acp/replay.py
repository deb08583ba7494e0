"""An ACP agent that plays a recording: RECORDING STATE [at-once]. The standard library only.

It says what was recorded up to the next message of the client, then waits for that one, and ends with status 9 and a
word on stderr if another one comes. STATE counts the lives: each start plays the next one. At the end of a life it
waits for the end of its input; in a recording with `{"deaf": true}` it does not heed that. With `at-once` all that it
says between two messages of the client arrives together.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def rows_of(recording: Path, life: int) -> tuple[list[Row], bool]:
    lives: list[list[Row]] = []
    deaf = False
    for line in recording.read_text().splitlines():
        row = json.loads(line)
        if "life" in row:
            lives.append([])
        elif "deaf" in row:
            deaf = True
        else:
            lives[-1].append(row)
    if life >= len(lives):
        sys.exit(f"the recording has {len(lives)} lives")
    return lives[life], deaf


def what(message: Row) -> str:
    """What makes a message the same as the recorded one."""
    params = message.get("params", {})
    told = {
        "session/prompt": lambda: params["prompt"][0]["text"],
        "session/load": lambda: params["sessionId"],
        "session/cancel": lambda: params["sessionId"],
    }
    method = message.get("method")
    if method is None:
        return f"answer to {json.dumps(message['id'])}: {json.dumps(message.get('result'), sort_keys=True)}"
    return f"{method} {told[method]()}" if method in told else str(method)


def main(recording: str, state: str, at_once: str = "") -> None:
    count = Path(state)
    life = int(count.read_text()) if count.exists() else 0
    count.write_text(str(life + 1))
    rows, deaf = rows_of(Path(recording), life)
    ids: dict[int, int] = {}  # of the client's requests: recorded -> real
    for row in rows:
        if "<" in row:
            message = row["<"]
            if "method" not in message:
                message = {**message, "id": ids[message["id"]]}
            print(json.dumps(message), flush=not at_once)
            continue
        sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:
            return
        got = json.loads(line)
        if what(got) != what(row[">"]):
            sys.stderr.write(f"expected {what(row['>'])}, got {what(got)}\n")
            sys.exit(9)
        if "method" in got and "id" in got:
            ids[row[">"]["id"]] = got["id"]
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stderr.write(f"expected nothing more, got {line[:200]}")
        sys.exit(9)
    while deaf:
        signal.pause()


main(*sys.argv[1:])
