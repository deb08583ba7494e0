"""The files of the page: small, each with its job in its first line, none with a way to make HTML of text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

FILES = Path(__file__).parents[2] / "agent" / "frontends" / "page"
MODULES = sorted(FILES.glob("*.js"))
LOCALES = sorted((FILES / "locales").glob("*.json"))
ALL_MAX = 305_000
LOCALE_MAX = 15_000
SINKS = re.compile(
    r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|srcdoc|DOMParser"
    r"|createContextualFragment|setAttribute\(\"(on|style))"
)
IMPORT = re.compile(r"""^(?:import|export)\b[^;]*?from "\./([\w.]+)";""", re.MULTILINE)
KEY = re.compile(r"""\bt\("([\w.-]+)"(, \{[^}]*\bcount\b)?""")


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def texts_of(locale: str) -> dict[str, str]:
    """The texts of a locale by their whole key."""

    def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, str]:
        found: dict[str, str] = {}
        for name, value in tree.items():
            found |= {prefix + name: value} if isinstance(value, str) else flat(value, f"{prefix}{name}.")
        return found

    return flat(json.loads(text(FILES / "locales" / f"{locale}.json")))


def reached(name: str, seen: set[str]) -> set[str]:
    """Modules that the browser needs for one of them."""
    seen.add(name)
    for other in IMPORT.findall(text(FILES / name)):
        if other not in seen:
            reached(other, seen)
    return seen


def test_all_files_together_are_small() -> None:
    sizes = {path: path.stat().st_size for path in FILES.rglob("*") if path.is_file()}
    assert sum(sizes.values()) <= ALL_MAX
    assert {path.name: sizes[path] for path in LOCALES if sizes[path] > LOCALE_MAX} == {}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_says_its_job_and_makes_no_html(path: Path) -> None:
    first, *lines = text(path).splitlines()
    assert re.fullmatch(r"// [A-Z`].*[.:]", first)
    assert [line for line in lines if SINKS.search(line)] == []
    assert [number for number, line in enumerate(lines, 2) if len(line) > 130] == []


def test_the_document_asks_for_every_module_at_once() -> None:
    document = text(FILES / "index.html")
    asked = re.findall(r'<link rel="modulepreload" href="/([\w.]+)">', document)
    assert sorted(asked) == sorted(reached("app.js", set()) - {"app.js"})


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_every_text_that_is_shown_by_its_key_is_there(path: Path) -> None:
    words = texts_of("en")
    wanted = {f"{key}.other" if counted else key for key, counted in KEY.findall(text(path))}
    assert wanted - set(words) == set()


def test_every_class_of_the_style_sheet_is_used() -> None:
    sheet = re.sub(r"/\*.*?\*/|\"[^\"]*\"|\{[^{}]*;|url\([^)]*\)", " ", text(FILES / "style.css"), flags=re.DOTALL)
    words = set(re.findall(r"[\w-]+", " ".join(text(path) for path in MODULES)))
    said = {"in_progress", "align-right", "align-center"}  # by the service
    assert set(re.findall(r"\.([a-z][\w-]*)", sheet)) - words == said
