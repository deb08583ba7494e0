"""Every command that the program's own texts name works as it is printed: the command line's parser takes it.

A text names a command between backticks. What stands for a value there (`SESSION`, a formatted field) is a value for
the parser as well, so that a hint which forgets its DEVICE fails here.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from agent.frontends.cli.examples import EXAMPLES
from agent.frontends.cli.main import COMMANDS, agent

PACKAGE = Path(__file__).parents[1] / "agent"
NAMED = re.compile(r"`(agent(?: [^`]*)?)`")
BARE = re.compile(rf"\bagent (?:{'|'.join(COMMANDS)})\b")
OPTION = re.compile(r"(?<![\w-])--[a-z]")
DOTS = re.compile(r"…|\.\.\.")


def docstrings(tree: ast.AST) -> set[int]:
    """Ids of the constants that are docstrings, or prose below a value; of a command the docstring is its help."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found.add(id(node.value))
        if isinstance(node, ast.FunctionDef) and any("click.command" in ast.unparse(d) for d in node.decorator_list):
            found.discard(id(getattr(node.body[0], "value", None)))
    return found


def text_of(node: ast.AST) -> str | None:
    """A string as a person reads it; X for each field that is filled in. None: no string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
    return None


def texts() -> Iterator[tuple[str, str]]:
    """Every string of the package that is no docstring, with its place."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        skipped = docstrings(tree)
        inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            text = None if id(node) in skipped | inner else text_of(node)
            if text:
                yield f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)}", text


def parsed(line: str) -> None:
    """Have the command line's parser read a line. Raises: UsageError."""
    program, *words = shlex.split(line, comments=True)
    assert program == "agent"
    try:
        ctx = agent.make_context("agent", words)
    except click.exceptions.Exit:  # `agent --help`
        return
    with ctx:
        rest = [*ctx._protected_args, *ctx.args]
        if not rest:
            return
        name, command, rest = agent.resolve_command(ctx, rest)
        assert command is not None
        try:
            command.make_context(name, rest, parent=ctx)
        except click.exceptions.Exit:  # `--help`
            return


def line_of(text: str) -> str:
    """The part of an example that is ours: without what is before a pipe, and without where its output goes."""
    return text.rpartition("| ")[2].partition(" > ")[0]


WHOLE = re.compile(rf"agent (?:{'|'.join(COMMANDS)})(?: [^\n`]*)?")
ADVICE = [
    (place, line)
    for place, text in texts()
    for line in ([text] if WHOLE.fullmatch(text) else NAMED.findall(text))
    if not line.startswith("agent X")  # whatever command is meant, it exists
]


def test_there_is_advice() -> None:
    assert len(ADVICE) > 80


@pytest.mark.parametrize(("place", "line"), ADVICE, ids=[f"{line} ({place})" for place, line in ADVICE])
def test_a_command_that_a_text_names_works_as_it_is_printed(place: str, line: str) -> None:
    parsed(line_of(line))


def test_a_command_stands_between_backticks() -> None:
    """So that it is seen where it ends, and the test above reads it."""
    bare = [
        (place, text) for place, text in texts() if BARE.search(NAMED.sub("", text)) and not WHOLE.match(line_of(text))
    ]
    assert bare == []


def test_the_service_names_no_option_outside_of_a_command() -> None:
    """Its words are shown in the page and in other front ends, too, where there is none."""
    bare = [
        (place, text)
        for place, text in texts()
        if not place.startswith("frontends/") and " " in text and OPTION.search(re.sub("`[a-z][^`]*`", "", text))
    ]
    assert bare == []


def test_advice_needs_no_page_that_is_not_installed() -> None:
    pages = [(place, text) for place, text in texts() if re.search(r"docs/[\w/]+\.md", text)]
    assert pages == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples_that_work(command: str) -> None:
    lines = [line for line, _ in EXAMPLES[command]]
    assert lines
    for line in lines:
        assert line_of(line).split()[:2] == ["agent", command]
        parsed(line_of(line))


def test_no_example_is_of_a_command_that_is_gone() -> None:
    assert EXAMPLES.keys() == COMMANDS.keys()
