"""Stands between this service and a real agent and writes down what they say: how the recordings were made.

    python -m tests.adapters.backends.acp.recorder OUT.jsonl -- AGENT ARG…

Run as the `argv` of a backend. Each process of the agent begins with `{"life": N}`; then one message a line, `">"` to
the agent, `"<"` from it, in the order in which they were read here. Long lists, texts and replies are shortened.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

LIST_MAX, TEXT_MAX, PIECES_MAX = 3, 400, 3
DROPPED = ("description", "authMethods", "updatedAt", "parsed_cmd", "turn_id", "started_at_ms", "completed_at_ms",
           "proposed_execpolicy_amendment", "available_decisions", "process_id", "duration",
           "mcpCapabilities")  # fmt: skip


def shortened(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: shortened(each, name) for name, each in value.items() if name not in DROPPED}
    if isinstance(value, list):
        kept = value if key in {"prompt", "options", "content", "command"} else value[:LIST_MAX]
        return [shortened(each) for each in kept]
    if isinstance(value, str):
        return value.replace(str(Path.cwd()), "/home/me/folder")[:TEXT_MAX]
    return value


def main(out: str, argv: list[str]) -> int:
    path, lock = Path(out), threading.Lock()
    lives = path.read_text().count('{"life"') if path.exists() else 0

    pieces = 0  # of one reply, in a row

    def note(row: dict[str, Any]) -> None:
        nonlocal pieces
        update = row.get("<", {}).get("params", {}).get("update", {})
        with lock, path.open("a") as file:
            pieces = pieces + 1 if update.get("sessionUpdate") == "agent_message_chunk" else 0
            if pieces <= PIECES_MAX:
                file.write(json.dumps(row) + "\n")

    def pump(source: IO[bytes], sink: IO[bytes], direction: str) -> None:
        for line in source:
            note({direction: shortened(json.loads(line))})
            sink.write(line)
            sink.flush()
        sink.close()

    note({"life": lives + 1})
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    threading.Thread(target=pump, args=(sys.stdin.buffer, process.stdin, ">"), daemon=True).start()
    pump(process.stdout, sys.stdout.buffer, "<")
    return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[3:]))
