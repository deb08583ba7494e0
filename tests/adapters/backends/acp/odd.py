"""An ACP agent that does what its prompts say, odd things too. Run as a program; the standard library only.

say TEXT          the text comes back, a word a piece
many N            N pieces of 5,000 characters
pour N            the same, then ends in the middle of the turn
think TEXT        a thought
hold              nothing, until it is cancelled
wait              says "la " first
ask [TEXT]        asks for permission to be told a name; then says what it got
form              asks to fill in a form; then says what it got
url               asks to open a page; `opened` comes back when it was told so
tool COMMAND      uses a tool; `tool! COMMAND` asks first
late N            ends the turn, then says N more pieces
strange           updates and notifications that nobody knows
garbage           lines that are no messages, among others that are
long BYTES        says a line of that length; `long-reply BYTES` answers the prompt with one
noise BYTES       writes so much to stderr, then says "done"
die [STATUS]      ends in the middle of the turn
orphan            starts a process that outlives it in a session of its own, and says its id
queue             says that it will see to the prompt later
ignore            never answers, not even after a cancel
twice             answers the prompt twice
stop              says that it was cancelled, which it was not
silent            ends the turn without a word
fail [CODE]       an error instead of an answer
mode ID           changes its mode
environ NAME      says that variable
memory            says the prompts of this session so far
request METHOD    asks the client for something it does not offer; says the error
write LINES       writes these lines (a JSON list in Latin-1) as they are: `$ID` is the prompt's, `$SESSION` the session
ask-float         asks for permission, by a request whose id is 7.0; then says what it got

Options: --no-load, --resume (instead of load), --needs-login, --deaf (does not end with its input), --name NAME,
--version VERSION, --wrong-version, --no-start (ends before it answers), --state FILE (sessions that outlive it),
--cancel-fails, --cancel-ends-nothing, --banner TEXT, --replay-late, --bom (before its first message),
--ids text|float|null|other (how it writes ids of answers back).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

Row = dict[str, Any]

parser = argparse.ArgumentParser()
for flag in ("no-load", "resume", "needs-login", "deaf", "wrong-version", "no-start", "cancel-fails",
             "cancel-ends-nothing", "replay-late", "bom"):  # fmt: skip
    parser.add_argument(f"--{flag}", action="store_true")
parser.add_argument("--name", default="odd")
parser.add_argument("--version", default="1.0.0")
parser.add_argument("--state", default="")
parser.add_argument("--banner", default="")
parser.add_argument("--ids", default="")
OPTIONS = parser.parse_args()

MODES = {"currentModeId": "ask", "availableModes": [{"id": "ask", "name": "Ask"}, {"id": "auto", "name": "Auto"}]}
CONFIG = [
    {
        "id": "model", "name": "Model", "category": "model", "type": "select", "currentValue": "small",
        "options": [{"value": "small", "name": "Small"}, {"value": "large", "name": "Large"}],
    },
]  # fmt: skip
CHOICES = [
    {"optionId": "Ada", "name": "Ada", "kind": "allow_once"},
    {"optionId": "Bob", "name": "Bob", "kind": "allow_always"},
    {"optionId": "no", "name": "No", "kind": "reject_once"},
]
FORM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "title": "Name"},
        "size": {"type": "integer", "default": 3},
        "colour": {"type": "string", "oneOf": [{"const": "r", "title": "Red"}, {"const": "g", "title": "Green"}]},
        "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
        "sure": {"type": "boolean"},
    },
    "required": ["name"],
}


class Agent:
    """One session at a time."""

    def __init__(self) -> None:
        self.session = ""
        self.prompt: int | None = None  # id of the request that waits for its answer
        self.held = self.ignoring = False
        self.asked: dict[str | float, str] = {}  # id of a request of ours -> what it is about
        self.count = 0

    def send(self, message: Row) -> None:
        if OPTIONS.ids and "method" not in message:
            number = message["id"]
            written = {"text": str(number), "float": float(number), "null": None, "other": f"answer to {number}"}
            message = message | {"id": written[OPTIONS.ids]}
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()

    def update(self, sort: str, /, **fields: Any) -> None:
        update = {"sessionUpdate": sort, **fields}
        self.send({"method": "session/update", "params": {"sessionId": self.session, "update": update}})

    def say(self, text: str, kind: str = "agent_message_chunk") -> None:
        self.update(kind, content={"type": "text", "text": text})

    def request(self, about: str, method: str, params: Row, number: float | None = None) -> None:
        self.count += 1
        name = f"r-{self.count}" if number is None else number
        self.asked[name] = about
        self.send({"id": name, "method": method, "params": {"sessionId": self.session, **params}})

    def end(self, reason: str = "end_turn", **fields: Any) -> None:
        number, self.prompt, self.held = self.prompt, None, False
        if number is not None:
            self.send({"id": number, "result": {"stopReason": reason, **fields}})

    # --- requests ----------------------------------------------------------------------------------------------------

    def handle(self, message: Row) -> None:
        method, number, params = message.get("method"), message.get("id"), message.get("params", {})
        if method is None:
            self.answered(self.asked.pop(message["id"]), message.get("result"), message.get("error"))
        elif method == "session/cancel":
            self.cancelled()
        elif method == "session/prompt":
            assert self.prompt is None, "a second prompt during a turn"
            self.prompt = number
            self.remember(params["prompt"][0]["text"])
            self.turn(params["prompt"][0]["text"])
        else:
            answer = self.answer(str(method), params)
            self.send({"id": number, **answer})
            if OPTIONS.replay_late and method == "session/load":
                self.replay()

    def answer(self, method: str, params: Row) -> Row:
        match method:
            case "initialize":
                found = self.introduced()
            case "session/new":
                found = self.created()
            case "session/load" | "session/resume":
                found = self.loaded(method, params["sessionId"])
            case "session/set_mode":
                MODES["currentModeId"] = params["modeId"]
                found = {"result": {}}
            case "session/set_config_option":
                CONFIG[0]["currentValue"] = params["value"]
                found = {"result": {"configOptions": CONFIG}}
            case _:
                found = {"error": {"code": -32601, "message": "Method not found"}}
        return found

    def introduced(self) -> Row:
        loads = not OPTIONS.no_load and not OPTIONS.resume
        sessions: Row = {"resume": {}} if OPTIONS.resume else {}
        return {
            "result": {
                "protocolVersion": 2 if OPTIONS.wrong_version else 1,
                "agentCapabilities": {"loadSession": loads, "sessionCapabilities": sessions},
                "agentInfo": {"name": OPTIONS.name, "version": OPTIONS.version},
                "authMethods": [{"id": "web", "name": "Log in with the web", "description": "opens a page"}],
            }
        }

    def created(self) -> Row:
        if OPTIONS.needs_login:
            return {"error": {"code": -32000, "message": "Authentication required"}}
        self.session = f"odd-{os.getpid()}-{time.monotonic_ns()}"
        self.keep([])
        return {"result": {"sessionId": self.session, "modes": MODES, "configOptions": CONFIG}}

    def loaded(self, method: str, session: str) -> Row:
        if session not in self.kept():
            return {"error": {"code": -32002, "message": "no such session"}}
        self.session = session
        if not OPTIONS.replay_late and method == "session/load":
            self.replay()
        return {"result": {"modes": MODES, "configOptions": CONFIG}}

    def kept(self) -> dict[str, list[str]]:
        if not OPTIONS.state or not Path(OPTIONS.state).exists():
            return {}
        found: dict[str, list[str]] = json.loads(Path(OPTIONS.state).read_text())
        return found

    def keep(self, prompts: list[str]) -> None:
        if OPTIONS.state:
            Path(OPTIONS.state).write_text(json.dumps(self.kept() | {self.session: prompts}))

    def remember(self, text: str) -> None:
        self.keep([*self.kept().get(self.session, []), text])

    def replay(self) -> None:
        for text in self.kept().get(self.session, []):
            self.say(text, "user_message_chunk")
            self.say(f"REPLAYED {text}")
            self.update("tool_call", toolCallId="old", title="REPLAYED", status="completed")

    def cancelled(self) -> None:
        if OPTIONS.cancel_fails:
            number, self.prompt = self.prompt, None
            self.send({"id": number, "error": {"code": -32603, "message": "Internal error", "data": {"details": "x"}}})
        elif not self.ignoring and not OPTIONS.cancel_ends_nothing:
            assert not self.asked, "cancelled while something is still asked"
            self.end("cancelled")

    def answered(self, about: str, result: Any, error: Any) -> None:
        if about == "name":
            outcome = result["outcome"]
            if outcome["outcome"] == "cancelled" and self.held:
                return
            self.say(f"got {outcome.get('optionId', 'nobody')}")
        elif about == "form":
            self.say(f"got {json.dumps(result, sort_keys=True)}")
        elif about == "url":
            self.say(f"url {result['action']}")
        elif about.startswith("tool "):
            if result["outcome"].get("optionId") == "Ada":
                self.use(about.removeprefix("tool "))
            else:
                self.end("cancelled")
        else:
            self.say(f"error {error['code']}")
        self.end()

    def use(self, command: str) -> None:
        self.update("tool_call", toolCallId="t1", title=command, kind="execute", status="in_progress",
                    rawInput={"command": command})  # fmt: skip
        output = [{"type": "content", "content": {"type": "text", "text": f"ran {command}"}}]
        self.update("tool_call_update", toolCallId="t1", status="completed", content=output)

    # --- turns -------------------------------------------------------------------------------------------------------

    def turn(self, text: str) -> None:
        word, _, rest = text.partition(" ")
        name = "turn_" + word.removeprefix("/").replace("-", "_").replace("!", "_first")
        getattr(self, name, lambda _: self.turn_say(text))(rest)

    def turn_say(self, text: str) -> None:
        for piece in text.split(" "):
            self.say(piece + " ")
        self.end()

    def turn_many(self, number: str) -> None:
        for _ in range(int(number)):
            self.say("x" * 5000)
        self.end()

    def turn_pour(self, number: str) -> None:
        for _ in range(int(number)):
            self.say("x" * 5000)
        os._exit(0)

    def turn_think(self, text: str) -> None:
        self.say(text, "agent_thought_chunk")
        self.end()

    def turn_hold(self, text: str) -> None:
        self.held = True

    def turn_wait(self, text: str) -> None:
        self.held = True
        self.say("la ")

    def turn_queue(self, text: str) -> None:
        self.say("Queued for the next turn. (1 queued)")
        self.end()

    def turn_ignore(self, text: str) -> None:
        self.held = self.ignoring = True
        self.say("la la la")

    def turn_ask(self, text: str) -> None:
        self.held = True
        call = {"toolCallId": "perm-1", "title": text or "Name: ", "rawInput": {"command": "whoami"}}
        self.request("name", "session/request_permission", {"toolCall": call, "options": CHOICES})

    def turn_ask_float(self, text: str) -> None:
        call = {"toolCallId": "perm-1", "title": "Name: "}
        self.request("name", "session/request_permission", {"toolCall": call, "options": CHOICES}, number=7.0)

    def turn_write(self, lines: str) -> None:
        for line in json.loads(lines):
            written = line.replace("$ID", str(self.prompt)).replace("$SESSION", self.session)
            sys.stdout.buffer.write(written.encode("latin-1") + b"\n")
        sys.stdout.buffer.flush()
        self.prompt = None

    def turn_form(self, text: str) -> None:
        self.request("form", "elicitation/create", {"mode": "form", "message": "Who?", "requestedSchema": FORM})

    def turn_url(self, text: str) -> None:
        page = {"mode": "url", "message": "Log in", "url": "https://example.org/x", "elicitationId": "e1"}
        self.request("url", "elicitation/create", page)
        if text:
            self.send({"method": "elicitation/complete", "params": {"elicitationId": "e1"}})

    def turn_tool(self, command: str) -> None:
        self.use(command)
        self.end()

    def turn_tool_first(self, command: str) -> None:
        call = {"toolCallId": "perm-2", "title": command, "kind": "execute"}
        self.request(f"tool {command}", "session/request_permission", {"toolCall": call, "options": CHOICES})

    def turn_late(self, number: str) -> None:
        self.end()
        for count in range(int(number)):
            self.say(f"late {count} ")

    def turn_strange(self, text: str) -> None:
        self.update("hologram", shape="cube")
        self.send({"method": "_odd/status", "params": {"ok": True}})
        self.send({"method": "session/dance", "params": {"steps": 3}})
        self.update("agent_message_chunk", content=[1, 2])
        self.update("tool_call_update", toolCallId="s1", status="exploded", title="odd", content=[7, {"type": "hat"}])
        self.say("still here")
        self.end("tired")

    def turn_garbage(self, text: str) -> None:
        for line in ("npm WARN deprecated", "{", "\x00\xff", "[]", '{"jsonrpc":"2.0"}', ""):
            sys.stdout.write(line + "\n")
        self.say("fine")
        self.end()

    def turn_long(self, size: str) -> None:
        self.say("y" * int(size))
        self.say("after")
        self.end()

    def turn_picture(self, size: str) -> None:
        self.update("tool_call", toolCallId="shot", title="Look", status="in_progress")
        image = {"type": "image", "mimeType": "image/png", "uri": "file:///shot.png", "data": "A" * int(size)}
        content = [{"type": "content", "content": image}]
        self.update("tool_call_update", toolCallId="shot", status="completed", content=content)
        self.end()

    def turn_long_reply(self, size: str) -> None:
        self.end(padding="z" * int(size))

    def turn_noise(self, size: str) -> None:
        for _ in range(int(size) // 1000):
            sys.stderr.write("n" * 999 + "\n")
        sys.stderr.write("the last words\n")
        sys.stderr.flush()
        self.say("done")
        self.end()

    def turn_die(self, status: str) -> None:
        self.say("so ")
        sys.stderr.write("panic: out of cheese\n")
        sys.stderr.flush()
        os._exit(int(status or 3))

    def turn_orphan(self, text: str) -> None:
        child = subprocess.Popen(["sleep", "600"], start_new_session=True, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        self.say(str(child.pid))
        self.end()

    def turn_twice(self, text: str) -> None:
        number = self.prompt
        self.say("once")
        self.end()
        self.send({"id": number, "result": {"stopReason": "refusal"}})

    def turn_stop(self, text: str) -> None:
        self.end(text or "cancelled")

    def turn_silent(self, text: str) -> None:
        self.end()

    def turn_fail(self, code: str) -> None:
        number, self.prompt = self.prompt, None
        error = {"code": int(code or -32603), "message": "Internal error", "data": {"details": "out of cheese"}}
        self.send({"id": number, "error": error})

    def turn_mode(self, mode: str) -> None:
        self.update("current_mode_update", currentModeId=mode)
        self.end()

    def turn_environ(self, name: str) -> None:
        self.say(os.environ.get(name, ""))
        self.end()

    def turn_memory(self, text: str) -> None:
        self.turn_say(" ".join(self.kept().get(self.session, [])))

    def turn_request(self, method: str) -> None:
        self.request(method, method, {"path": "/etc/passwd"})


def main() -> None:
    for pipe in (sys.stdin, sys.stdout):
        assert isinstance(pipe, io.TextIOWrapper)
        pipe.reconfigure(encoding="utf-8", errors="surrogateescape")
    if OPTIONS.no_start:
        sys.stderr.write("cannot find the thing\n")
        sys.exit(7)
    if OPTIONS.banner:
        sys.stdout.write(OPTIONS.banner + "\n")
    if OPTIONS.bom:
        sys.stdout.write("\ufeff")
    agent = Agent()
    for line in sys.stdin:
        agent.handle(json.loads(line))
    while OPTIONS.deaf:
        signal.pause()


main()
