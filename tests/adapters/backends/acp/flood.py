"""An ACP agent that answers each prompt with the lines of FILE, TIMES over, as fast as its pipe takes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(file: str, times: str) -> None:
    block = Path(file).read_bytes()
    answers = {"initialize": {"protocolVersion": 1}, "session/new": {"sessionId": "flood"}}
    for line in sys.stdin:
        message = json.loads(line)
        if message["method"] == "session/prompt":
            for _ in range(int(times)):
                sys.stdout.buffer.write(block)
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": answers.get(message["method"], {})}
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


main(*sys.argv[1:])
