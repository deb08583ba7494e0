"""assembly, daemon: each part is whole once it is made, and knows only what was made before it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MADE_IN = ["agent/assembly.py", "agent/daemon.py"]


def attributes(node: ast.AST) -> Iterator[ast.Attribute]:
    return (each for each in ast.walk(node) if isinstance(each, ast.Attribute))


def is_own(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"


@pytest.mark.parametrize("path", MADE_IN)
def test_nothing_is_set_on_a_part_after_it_was_made(path: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert [node.lineno for node in attributes(tree) if isinstance(node.ctx, ast.Store) and not is_own(node)] == []


@pytest.mark.parametrize("path", MADE_IN)
def test_no_part_is_given_what_is_made_further_down(path: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for init in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "__init__"):
        made: set[str] = set()
        for statement in init.body:
            lambdas = [node.body for node in ast.walk(statement) if isinstance(node, ast.Lambda)]
            assert {node.attr for each in lambdas for node in attributes(each) if is_own(node)} <= made
            made |= {node.attr for node in attributes(statement) if isinstance(node.ctx, ast.Store)}
