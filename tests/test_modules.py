"""A module over 300 lines has two jobs (DESIGN §2), unless it is listed here with its reason."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
LINES_MAX = 300
LISTED_MAX = 400
LISTED = {
    "agent/daemon.py": "the composition root: one statement a part, and no decision of its own",
    "agent/core/messages.py": "one struct a method: the whole wire in one table, and no code",
    "agent/core/transcript.py": "one struct a type of event: the whole log in one table",
}


def lengths() -> dict[str, int]:
    paths = sorted((ROOT / "agent").rglob("*.py"))
    return {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}


def test_a_module_has_one_job() -> None:
    assert {path: lines for path, lines in lengths().items() if lines > LINES_MAX and path not in LISTED} == {}


def test_a_listed_module_exists_and_is_bounded_too() -> None:
    found = lengths()
    assert {path: found.get(path, 0) for path in LISTED if not 0 < found.get(path, 0) <= LISTED_MAX} == {}


def test_no_module_is_named_for_nothing() -> None:
    assert [path for path in lengths() if Path(path).stem in {"utils", "util", "common", "helpers", "manager"}] == []
