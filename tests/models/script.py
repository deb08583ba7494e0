"""What the model answers: decided by the prompt, so that a test says in one place what it sends and what comes back.

Each line of a prompt that begins with `model:` is a step, done in order; other lines are ignored. Steps stand in one
paragraph, and the last one counts: some agents send prompts that failed again, together with the next.

model: say N [TEXT]        N pieces of text, "piece 1 " to "piece N ", or of TEXT numbered the same way
model: text TEXT           TEXT, a word at a time; in double quotes it is a JSON string
model: think N             N pieces of thought
model: slow N SECONDS      N pieces, each after a pause
model: wait NAME           nothing more until NAME is released
model: tool COMMAND        uses the agent's tool for commands
model: write PATH TEXT     uses the agent's tool for writing files
model: call NAME JSON      uses any tool, with these arguments
model: error STATUS        an HTTP error instead of an answer
model: cut                 the connection breaks

A tool ends the reply. When its result has come, the script goes on after it, and tells the result first. A prompt
without a step is answered "heard: " and its beginning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.models.asks import Ask, Tool, Turn

TITLE = "A title"
"""The answer to agents that ask for a title of the conversation beside the conversation itself."""

_STEP = re.compile(r"^model: *(\w+) ?(.*?)\r?$", re.MULTILINE)
_SHELLS = ("exec_command", "shell_command", "shell", "bash", "run_shell_command", "terminal")
_WRITERS = ("write", "write_file", "apply_patch")
_TOOLS = {"tool", "write", "call"}


@dataclass(frozen=True)
class Piece:
    """Some text, sent at once."""

    text: str
    thought: bool = False


@dataclass(frozen=True)
class Call:
    """A tool to use. Arguments of a custom tool are text."""

    tool: Tool
    arguments: dict[str, Any] | str


@dataclass(frozen=True)
class Pause:
    """Seconds of silence."""

    seconds: float


@dataclass(frozen=True)
class Hold:
    """Silence until the name is released."""

    name: str


@dataclass(frozen=True)
class Fail:
    """An HTTP error; possible only before anything was said."""

    status: int


@dataclass(frozen=True)
class Cut:
    """The connection breaks here."""


Action = Piece | Call | Pause | Hold | Fail | Cut


def is_about_title(ask: Ask) -> bool:
    """Whether this is no turn of the conversation but a question for its title: no tools, and told so."""
    told = " ".join(turn.text for turn in ask.turns if turn.role == "system").lower()
    return not ask.tools and "title" in told


def script(ask: Ask) -> list[str]:
    """The steps that the newest prompt asks for, as words after `model:`."""
    return [f"{verb} {rest}".strip() for verb, rest in _steps(_prompt(ask)[0].text)]


def plan(ask: Ask) -> list[Action]:
    """What to do, in order. Raises: ValueError, for steps that cannot be read: a defect of the test."""
    if is_about_title(ask):
        return [Piece(TITLE)]
    prompt, results = _prompt(ask)
    steps = _steps(prompt.text)
    if not steps:
        return [Piece(f"heard: {prompt.text[:60]}")]
    actions: list[Action] = []
    if results:
        steps = _after_tools(steps, len(results))
        actions += _words(f"tool said: {' '.join(results[-1].split())[:300]}")
    for verb, rest in steps:
        if verb not in _VERBS:
            raise ValueError(f"no such step: {verb}")
        actions += _VERBS[verb](rest, ask)
        if verb in _TOOLS:
            break
    return actions


def _prompt(ask: Ask) -> tuple[Turn, list[str]]:
    """The newest prompt, and the results of tools since. What agents add in tags around a prompt is none."""
    results: list[str] = []
    for turn in reversed(ask.turns):
        if turn.role == "tool":
            results.insert(0, turn.text)
        if turn.role == "user" and (_steps(turn.text) or not turn.text.lstrip().startswith("<")):
            return turn, results
    return Turn("user", ""), []


def _steps(text: str) -> list[tuple[str, str]]:
    """The steps of the last paragraph that has any."""
    paragraphs = ([(found[1], found[2]) for found in _STEP.finditer(each)] for each in text.split("\n\n"))
    return next(filter(None, reversed(list(paragraphs))), [])


def _after_tools(steps: list[tuple[str, str]], used: int) -> list[tuple[str, str]]:
    at = [number for number, (verb, _) in enumerate(steps) if verb in _TOOLS]
    return steps[at[min(used, len(at)) - 1] + 1 :] if at else []


# --- the steps --------------------------------------------------------------------------------------------------------


def _say(rest: str, ask: Ask) -> Iterator[Action]:
    count, _, text = rest.partition(" ")
    for number in range(1, int(count) + 1):
        yield Piece(f"{text or 'piece'} {number} ")


def _said(rest: str, ask: Ask) -> Iterator[Action]:
    return _words(json.loads(rest) if rest.startswith('"') else rest)


def _words(text: str) -> Iterator[Action]:
    for word in re.findall(r"\s*\S+\s*$|\s*\S+|\s+$", text):
        yield Piece(word)


def _think(rest: str, ask: Ask) -> Iterator[Action]:
    for number in range(1, int(rest) + 1):
        yield Piece(f"thought {number} ", thought=True)


def _slow(rest: str, ask: Ask) -> Iterator[Action]:
    count, seconds = rest.split()
    for number in range(1, int(count) + 1):
        yield Pause(float(seconds))
        yield Piece(f"piece {number} ")


def _wait(rest: str, ask: Ask) -> Iterator[Action]:
    yield Hold(rest)


def _fail(rest: str, ask: Ask) -> Iterator[Action]:
    yield Fail(int(rest))


def _cut(rest: str, ask: Ask) -> Iterator[Action]:
    yield Cut()


def _tool(rest: str, ask: Ask) -> Iterator[Action]:
    tool = ask.tool(*_SHELLS)
    yield _call(tool, command=rest) if tool else _no_tool(ask, "commands")


def _write(rest: str, ask: Ask) -> Iterator[Action]:
    path, _, text = rest.partition(" ")
    patch = f"*** Begin Patch\n*** Add File: {path}\n+{text}\n*** End Patch"
    tool, shell = ask.tool(*_WRITERS), ask.tool(*_SHELLS)
    if tool and tool.custom:
        yield Call(tool, patch)
    elif tool:
        yield _call(tool, path=path, content=f"{text}\n", patch=patch)
    elif shell and shell.name == "exec_command":  # codex has its writing tool inside its shell
        yield _call(shell, command=f"apply_patch <<'EOF'\n{patch}\nEOF\n")
    else:
        yield _no_tool(ask, "writing files")


def _any_call(rest: str, ask: Ask) -> Iterator[Action]:
    name, _, arguments = rest.partition(" ")
    tool = ask.tool(name)
    yield Call(tool, json.loads(arguments or "{}")) if tool else _no_tool(ask, name)


_VERBS: dict[str, Callable[[str, Ask], Iterator[Action]]] = {
    "say": _say,
    "text": _said,
    "think": _think,
    "slow": _slow,
    "wait": _wait,
    "tool": _tool,
    "write": _write,
    "call": _any_call,
    "error": _fail,
    "cut": _cut,
}

_SPELLINGS = {
    "command": ("command", "cmd"),
    "path": ("filePath", "file_path", "path"),
    "content": ("content",),
    "patch": ("input", "patch"),
}
"""What is meant -> what agents call that parameter."""


def _call(tool: Tool, **meant: str) -> Call:
    """A call with what is meant, spelled as that tool spells it, and something for all else that it requires."""
    arguments: dict[str, Any] = {}
    for name, value in meant.items():
        spelled = next((each for each in _SPELLINGS[name] if each in tool.properties), "")
        if spelled:
            is_list = tool.properties[spelled].get("type") == "array"
            arguments[spelled] = ["bash", "-lc", value] if is_list else value
    if "sandbox_permissions" in tool.properties:  # codex asks a person only about commands outside of its sandbox
        arguments |= {"sandbox_permissions": "require_escalated", "justification": "May this run?"}
    for name in tool.parameters.get("required") or ():
        arguments.setdefault(name, _something(tool.properties.get(name) or {}))
    return Call(tool, arguments)


def _something(schema: dict[str, Any]) -> Any:
    if schema.get("enum"):
        return schema["enum"][0]
    return {"boolean": False, "integer": 1, "number": 1, "array": [], "object": {}}.get(
        str(schema.get("type")), "as the test wants"
    )


def _no_tool(ask: Ask, wanted: str) -> Piece:
    return Piece(f"no tool for {wanted} among: {', '.join(tool.name for tool in ask.tools)}")
