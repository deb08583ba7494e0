"""A class over 250 or a module over 350 lines of code has two jobs, and a module under 60 that one other module imports
has none, unless it is listed with its reason (DESIGN §2).

Lines of code are those that are no import, docstring, comment or blank.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.test_imports import IMPORTS

ROOT = Path(__file__).parents[1]
MODULE_MAX = 350
CLASS_MAX = 250
LISTED: dict[str, str] = {}
"""Path, or `path:Class`, and why it is larger."""
LISTED_MAX = 450
SMALL = 60
COMPOSES = {
    "agent.daemon": "it names parts and adapters, and holds none",
    "agent.ports": "one module a port; the package exports them all",
}
"""Modules that import small ones which have no other importer, and why none of those belongs into them."""
KEPT: dict[str, str] = {
    "agent.adapters.backends.acp.diffs": "pure: texts in, patch out, with tests of its own; nothing of it is ACP's",
    "agent.adapters.backends.acp.turn": "the state of one turn, which the session replaces whole with the next prompt",
    "agent.adapters.net.heartbeat": "the ping rule (L3) with its figures, which tests of links name by themselves",
    "agent.frontends.cli.qr": "pure but for its last step: modules in, characters out; `trust` has the words",
    "agent.frontends.cli.welcome": "what `agent` alone does, imported only then",
    "agent.gateway.terminals": "one handler module a domain",
    "agent.links.rules.address_book": "pure rules of a service that is not",
    "agent.presence.rules.local_device": "the counterpart of `remote_device`, which has the same place in the registry",
    "agent.sessions.rules.epochs": "a rule of its own (S15), with its argument and its tests",
    "agent.sessions.rules.printed": "how output is drawn; `tools`, which says what of it is logged, knows no screen",
    "agent.trust.rules.keyring": "pure rules of a service that is not",
}
"""Module under `SMALL` lines with one importer -> why it stays."""


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


def small() -> dict[str, str]:
    """Modules under `SMALL` lines of code that exactly one other module imports, each with that one."""
    importers: dict[str, set[str]] = {}
    for module, imported in IMPORTS.items():
        for each in imported:
            importers.setdefault(each, set()).add(module)
    lines = {name.removesuffix(".py").replace("/", "."): count for name, count in sizes().items() if ":" not in name}
    alone = [each for each, count in lines.items() if count < SMALL and len(importers.get(each, ())) == 1]
    return {each: next(iter(importers[each])) for each in alone}


def test_a_small_module_with_one_importer_has_a_reason() -> None:
    assert {each: by for each, by in small().items() if each not in KEPT and by not in COMPOSES} == {}


def test_every_small_module_that_is_kept_is_one() -> None:
    assert [each for each in KEPT if each not in small()] == []
