"""The files of the page: small, each with its job in its first line, none with a way to make HTML of text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

FILES = Path(__file__).parents[2] / "agent" / "frontends" / "page"
MODULES = sorted(FILES.glob("*.js"))
TEXTS = FILES / "texts.js"
LOCALES = ("en", "zh-Hans", "zh-Hant", "ja")
"""In the order in which `texts.js` has them."""
ALL_MAX = 300_000
LOCALE_MAX = 10_000
FIRST_MAX = 25
"""Requests until the list is in sight."""
SINKS = re.compile(
    r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|srcdoc|DOMParser"
    r"|createContextualFragment|setAttribute\(\"(on|style))"
)
IMPORT = re.compile(r"""^(?:import|export)\b[^;]*?from "\./([\w.]+)";""", re.MULTILINE)
KEY = re.compile(r"""\bt\("([\w.-]+)"(, \{[^}]*\bcount\b)?""")


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def texts_of(locale: str) -> dict[str, str]:
    """The texts of a locale by their whole key; a form of a number that it lacks is left out."""
    groups = json.loads(text(TEXTS).partition("TEXTS = ")[2].removesuffix(";\n"))
    place = LOCALES.index(locale)
    return {
        f"{group}.{name}": said[place]
        for group, names in groups.items()
        for name, said in names.items()
        if place < len(said)
    }


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
    spoken = {locale: sum(len(said.encode()) for said in texts_of(locale).values()) for locale in LOCALES}
    assert {locale: size for locale, size in spoken.items() if size > LOCALE_MAX} == {}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_says_its_job_and_makes_no_html(path: Path) -> None:
    first, *lines = text(path).splitlines()
    assert re.fullmatch(r"// [A-Z`].*[.:]", first)
    assert [line for line in lines if SINKS.search(line)] == []
    assert [number for number, line in enumerate(lines, 2) if len(line) > 130 and path != TEXTS] == []


def test_the_document_asks_at_once_for_what_the_list_needs_and_later_for_all_else() -> None:
    asked, later = text(FILES / "index.html").split('<template id="later">')
    link = re.compile(r'<link rel="modulepreload" href="/([\w.]+)">')
    first = reached("app.js", set())
    assert link.findall(asked) == sorted(first - {"app.js", "key.js"})
    assert '<script type="module" async src="/key.js">' in asked  # which logs in while the others come
    assert link.findall(later) == sorted(reached("panes.js", set()) - first)
    assert len(first) + len(("the document", "style sheet", "key's name", "WebSocket")) <= FIRST_MAX


def test_every_module_is_of_use() -> None:
    assert {path.name for path in MODULES} == reached("app.js", set()) | reached("panes.js", set())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_every_text_that_is_shown_by_its_key_is_there(path: Path) -> None:
    words = texts_of("en")
    wanted = {f"{key}.other" if counted else key for key, counted in KEY.findall(text(path))}
    assert wanted - set(words) == set()


def test_every_class_of_the_style_sheet_is_used() -> None:
    sheet = re.sub(r"/\*.*?\*/|\"[^\"]*\"|\{[^{}]*;|url\([^)]*\)", " ", text(FILES / "style.css"), flags=re.DOTALL)
    words = set(re.findall(r"[\w-]+", " ".join(text(path) for path in MODULES if path != TEXTS)))
    said = {"in_progress", "align-right", "align-center"}  # by the service
    assert set(re.findall(r"\.([a-z][\w-]*)", sheet)) - words == said
