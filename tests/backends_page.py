"""The tables of docs/design/backends.md: what a backend is given and what it emits, as the SPI has it.

`python -m tests.backends_page` writes them anew; `tests/test_docs.py` holds the page to them.
"""

from __future__ import annotations

import ast
import inspect
import re
import typing
from pathlib import Path

from msgspec import Struct

from agent.ports import backends as spi
from agent.protocol import events
from agent.protocol.turn_causes import TurnCause

PAGE = Path(__file__).parents[1] / "docs" / "design" / "backends.md"
BEGIN, END = "<!-- from agent.ports.backends: python -m tests.backends_page -->\n", "<!-- end -->\n"
GIVEN = (spi.Start, spi.Exchange)
EMITTED: tuple[type[Struct], ...] = typing.get_args(spi.BackendEvent)
PARTS = (
    events.Choice,
    events.Field,
    events.Option,
    events.Command,
    events.Diff,
    events.Location,
    events.PlanEntry,
    events.Usage,
)
OTHERS = (spi.Inspection, spi.Offer)
CHAPTERS: dict[str, tuple[type[Struct], ...]] = {
    "What it is given": GIVEN,
    "What it emits": EMITTED,
    "Their parts": PARTS,
    "What it may tell besides": OTHERS,
}
WORDS = {
    "Id": "text",
    "Short": "text",
    "Text": "text",
    "Count": "int",
    "Whole": "int",
    "Amount": "float",
    "Real": "float",
}
NAMED = {
    "RequestKind": events.RequestKind, "TurnStatus": events.TurnStatus, "TurnCause": TurnCause
}  # fmt: skip
"""Types that are a choice of words: the table has the words."""


def described(kind: type[Struct]) -> list[str]:
    """One row for each field of a struct: its name, type, default, and the comment behind it."""
    source = inspect.getsource(kind)
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    lines = source.splitlines()
    found = []
    for field in body.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            said = re.search(r"#\s*(.*)$", lines[(field.end_lineno or field.lineno) - 1])
            default = "" if field.value is None else f"`{ast.unparse(field.value)}`"
            cell = typed(field.annotation)
            found.append(f"| `{field.target.id}` | {cell} | {default} | {said[1] if said else ''} |")
    return found


def typed(annotation: ast.expr) -> str:
    """A type as the table says it: bounds are told once, above it."""
    if isinstance(annotation, ast.BinOp):
        return f"{typed(annotation.left)} or {typed(annotation.right)}"
    if isinstance(annotation, ast.Constant):
        return "none"
    if isinstance(annotation, ast.Subscript):
        outer, inner = ast.unparse(annotation.value), annotation.slice
        first = inner.elts[0] if isinstance(inner, ast.Tuple) else inner
        if outer == "Literal":
            return words(ast.literal_eval(inner) if isinstance(inner, ast.Tuple) else [ast.literal_eval(inner)])
        return typed(first) if outer == "Annotated" else f"list of {typed(first)}"
    name = ast.unparse(annotation)
    if name in NAMED:
        return words(typing.get_args(NAMED[name]))
    return {"str": "text", "SessionId": "text"}.get(name, WORDS.get(name, name))


def words(these: typing.Iterable[str]) -> str:
    """Words of which a field has one."""
    return ", ".join(f"`{each}`" for each in these if each) or "text"


def table() -> str:
    """Between the marks of the page."""
    parts = []
    for heading, kinds in CHAPTERS.items():
        parts.append(f"\n### {heading}\n")
        for kind in kinds:
            said = " ".join((inspect.getdoc(kind) or "").split())
            parts += [f"\n**`{kind.__name__}`**: {said}\n", "| field | type | default | |", "| --- | --- | --- | --- |"]
            parts += described(kind)
    return "\n".join(parts).lstrip("\n") + "\n"


def with_table(page: str) -> str:
    """The page with the tables as they are now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
