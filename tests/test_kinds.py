"""Unit tests move clock and network by hand: what really sleeps makes them slow, and hides a race."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
OTHERS = {"e2e", "attacks", "faults", "bench", "models"}
"""Folders of other kinds, and of programs that tests start."""
SLEEPS = {
    "adapters/backends/shell/generations.py": "a program of its own: when it kills is what is tested",
    "fakes/waiting.py": "looks again and again at what another program, a thread or the kernel does",
    "frontends/gateway.py": "the same from a thread without a loop",
}
"""Modules that sleep, and why."""


def sleeps(path: Path) -> Iterator[int]:
    """Lines in which a module waits for more than a turn of the loop; a sleep that is a task to be ended is no wait."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        call = node.value if isinstance(node, ast.Await) else node
        if not isinstance(call, ast.Call):
            continue
        waits = "asyncio.sleep" if isinstance(node, ast.Await) else "time.sleep"
        if ast.unparse(call.func) == waits and ast.unparse(call.args[0]) != "0":
            yield call.lineno


def test_no_unit_test_really_sleeps() -> None:
    paths = [path for path in sorted(TESTS.rglob("*.py")) if path.relative_to(TESTS).parts[0] not in OTHERS]
    found = {str(path.relative_to(TESTS)): lines for path in paths if (lines := list(sleeps(path)))}
    assert len(paths) > 200
    assert {name: lines for name, lines in found.items() if name not in SLEEPS} == {}
    assert {name for name in SLEEPS if name not in found} == set()
