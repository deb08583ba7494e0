"""What commands ask by its name is in the table of the wire.

They ask so where the types of `protocol.methods` would cost more than the whole command may take (DESIGN §9, budgets);
everything else calls by the row, and mypy holds it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from agent.protocol.methods import METHODS

FRONTENDS = Path(__file__).parents[3] / "agent" / "frontends"
ASKING = {"call", "ask", "_ask"}


def by_name() -> Iterator[tuple[str, str, set[str]]]:
    """Module, method and names of the parameters of each call that gives a method by its name."""
    for path in FRONTENDS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
                continue
            asks = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if asks in ASKING and "." in str(node.args[0].value):
                params = node.args[1] if len(node.args) > 1 and isinstance(node.args[1], ast.Dict) else ast.Dict([], [])
                yield path.name, str(node.args[0].value), {ast.literal_eval(key) for key in params.keys if key}


def test_what_is_asked_by_name_exists_and_takes_these_parameters() -> None:
    calls = list(by_name())
    assert len(calls) > 10
    for module, method, params in calls:
        assert method in METHODS, (module, method)
        assert params <= set(METHODS[method].params.__struct_fields__), (module, method)
