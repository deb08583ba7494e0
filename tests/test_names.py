"""One class name, one thing, in all of agent/ (STYLE 17); and no name that a renaming has left behind."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
LISTED: dict[str, str] = {}
"""Name -> why several classes have it. Keep it short."""


def defined() -> dict[str, list[str]]:
    """Where each public class is defined, by its name."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "agent").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(str(path.relative_to(ROOT)))
    return found


def test_no_two_public_classes_have_one_name() -> None:
    twice = {name: places for name, places in defined().items() if len(places) > 1}
    assert {name: places for name, places in twice.items() if name not in LISTED} == {}


def test_what_is_listed_is_defined_twice() -> None:
    found = defined()
    assert [name for name in LISTED if len(found.get(name, [])) < 2] == []


def unread(source: str) -> set[str]:
    """Private attributes that a module writes and never reads: a renaming has missed them, or nothing needs them."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
    nodes = [node for node in nodes if node.attr.startswith("_")]
    written = {node.attr for node in nodes if isinstance(node.ctx, ast.Store)}
    return written - {node.attr for node in nodes if isinstance(node.ctx, ast.Load)}


def test_no_private_attribute_is_written_that_nothing_reads() -> None:
    found = {str(path.relative_to(ROOT)): unread(path.read_text()) for path in sorted((ROOT / "agent").rglob("*.py"))}
    assert {path: names for path, names in found.items() if names} == {}
