"""Which types a function tells apart: for unions whose members each must be thought of when a new one comes."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable


def types_told_apart(function: Callable[..., object]) -> set[str]:
    """Names of the classes in the `case` patterns of a function."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    patterns = [node.cls for node in ast.walk(tree) if isinstance(node, ast.MatchClass)]
    return {node.id for node in patterns if isinstance(node, ast.Name)}
