"""A class over 250 or a module over 350 lines of code has two jobs, unless it is listed with its reason (DESIGN §2).

Lines of code are those that are no import, docstring, comment or blank.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULE_MAX = 350
CLASS_MAX = 250
LISTED: dict[str, str] = {}
"""Path, or `path:Class`, and why it is larger."""
LISTED_MAX = 450


def left_out(tree: ast.AST) -> Iterator[int]:
    """Numbers of the lines of imports and docstrings."""
    for node in ast.walk(tree):
        match node:
            case ast.Import() | ast.ImportFrom():
                yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)
            case ast.Expr(value=ast.Constant(value=str())):
                yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)


@cache
def sizes() -> dict[str, int]:
    """Lines of code of each module and class, by `path` or `path:Class`."""
    found: dict[str, int] = {}
    for path in sorted((ROOT / "agent").rglob("*.py")):
        name, text = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        lines = enumerate(text.splitlines(), 1)
        code = {number for number, line in lines if line.strip() and not line.strip().startswith("#")}
        code -= set(left_out(tree))
        found[name] = len(code)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                first, last = node.lineno, node.end_lineno or node.lineno
                found[f"{name}:{node.name}"] = sum(first <= number <= last for number in code)
    return found


def limit(name: str) -> int:
    return LISTED_MAX if name in LISTED else CLASS_MAX if ":" in name else MODULE_MAX


def test_a_module_and_a_class_have_one_job() -> None:
    assert {name: lines for name, lines in sizes().items() if lines > limit(name)} == {}


def test_what_is_listed_exists_and_needs_to_be() -> None:
    found = sizes()
    assert [name for name in LISTED if found.get(name, 0) <= (CLASS_MAX if ":" in name else MODULE_MAX)] == []


def test_no_module_is_named_for_nothing() -> None:
    modules = [Path(name) for name in sizes() if ":" not in name]
    assert [path for path in modules if path.stem in {"utils", "util", "common", "helpers", "manager"}] == []
