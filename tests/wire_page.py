"""The table of methods in docs/design/wire.md, as `protocol.methods` has it.

`python -m tests.wire_page` writes it anew; `tests/test_docs.py` holds the page to it.
"""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from agent.protocol.messages import Nothing
from agent.protocol.methods import METHODS, Method
from agent.protocol.waiting import Patient

PAGE = Path(__file__).parents[1] / "docs" / "design" / "wire.md"
BEGIN, END = "<!-- from protocol.methods: python -m tests.wire_page -->\n", "<!-- end -->\n"
COMMON = set(Patient.__struct_fields__) - {"session_id"}
"""Parameters of every patient method; one paragraph has them."""


def item_of(kind: Any) -> type[Struct] | None:
    """The type of the rows, if it is a list of them."""
    inner = typing.get_args(kind)[0] if hasattr(kind, "__metadata__") else kind
    return typing.get_args(inner)[0] if typing.get_origin(inner) is tuple else None


def params(row: Method[Any, Any]) -> str:
    fields = [field for field in msgspec.structs.fields(row.params) if field.name not in COMMON]
    return ", ".join(f"`{field.name}`" if field.required else f"`{field.name}`?" for field in fields)


def result(kind: Any) -> str:
    item = item_of(kind)
    if item is not None:
        return f"[{item.__name__}]"
    return "{}" if kind is Nothing else kind.__name__


def marks(row: Method[Any, Any]) -> str:
    said = {"guarded": row.guarded, "patient": row.patient, f"{row.follows}": row.follows, f"{row.quota}": row.quota}
    return ", ".join(word for word, holds in said.items() if holds)


def table() -> str:
    """Between the marks of the page."""
    lines = ["| method | about | right | marks | parameters | result |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [
        f"| `{name}` | {row.on} | {row.right} | {marks(row)} | {params(row)} | {result(row.result)} |"
        for name, row in METHODS.items()
    ]
    shown = {item_of(row.result) or row.result for row in METHODS.values()} - {Nothing}
    lines += ["", "| result | fields |", "| --- | --- |"]
    lines += [
        f"| `{kind.__name__}` | {' '.join(kind.__struct_fields__)} |"
        for kind in sorted(shown, key=lambda kind: kind.__name__)
    ]
    return "\n".join(lines) + "\n"


def with_table(page: str) -> str:
    """The page with the table as it is now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
