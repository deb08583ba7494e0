"""STYLE 18: a docstring stands alone, since an editor shows it without its neighbours."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

AGENT = Path(__file__).parents[1] / "agent"
WORDS_MIN = 4
"""Of a docstring's first paragraph."""
WORDS_SHORT = 8
"""Below this a word such as `it` has nothing in the docstring that it could stand for."""
POINTS_ELSEWHERE = re.compile(r"\b(it|its|they|their|them|these|those|there|here)\b", re.IGNORECASE)
NEIGHBOUR = re.compile(
    r"(It|Its|They|Their|Them|The same|This one|These|Those|That|As above|Likewise|Ditto|See above)\b"
)
"""How a docstring begins that needs the one before it."""

Documented = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public(tree: ast.Module | ast.ClassDef, owner: str = "") -> Iterator[tuple[str, Documented]]:
    """Public classes and functions of a module, and the public methods of its public classes, by qualified name."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield f"{owner}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public(node, f"{node.name}.")


def stands_alone(paragraph: str) -> bool:
    """Whether a short paragraph names what it is about: four words at least, and no pointer before a noun can stand."""
    words = paragraph.split()
    return len(words) >= WORDS_MIN and not POINTS_ELSEWHERE.search(" ".join(words[: 3 if len(words) > 5 else None]))


def faults(source: str) -> list[str]:
    """What is wrong with the docstrings of a module."""
    found = []
    for name, node in public(ast.parse(source)):
        told = ast.get_docstring(node)
        if not told:
            continue  # ruff's D10x demands one wherever it is needed
        sentence = told.partition("\n\n")[0].replace("\n", " ")
        if NEIGHBOUR.match(sentence):
            found.append(f"{name}: begins as the next one of something: {sentence}")
        elif not sentence.rstrip().endswith((".", ":", "?", ")", "`", "|")):
            found.append(f"{name}: is no sentence: {sentence}")
        elif len(sentence.split()) < WORDS_SHORT and not stands_alone(sentence):
            found.append(f"{name}: is understood only below its neighbour: {sentence}")
    return found


@pytest.mark.parametrize("path", sorted(AGENT.rglob("*.py")), ids=lambda path: str(path.relative_to(AGENT)))
def test_a_public_docstring_stands_alone(path: Path) -> None:
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "docstring",
    ["It did not.", "The same for others.", "They are kept.", "Dials", "Its own record of it.", "Whether it is known."],
)
def test_the_check_catches(docstring: str) -> None:
    assert faults(f'def dial_failed() -> None:\n    """{docstring}"""\n') != []
