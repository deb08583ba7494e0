"""The words of the page: every language has all of them, with the same slots, and no more than are shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import pytest

from agent.protocol.audit import Action
from agent.protocol.model import DeviceRow, Role, Share, Source, Status
from tests.page.test_files import FILES, LOCALES, MODULES, TEXTS, text, texts_of

FORMS = {"en": {"one", "other"}}
"""Plural forms of a language (CLDR) that numbers of things need; those of the others: `other` alone."""
FORM = re.compile(r"\.(zero|one|two|few|many|other)$")
SLOT = re.compile(r"\{\w+\}")
Run = Callable[..., Any]


def bare(key: str) -> str:
    return FORM.sub("", key)


def shape(key: str, all_keys: set[str]) -> str:
    # A key with forms is one whose text counts; `pair.other` alone would be no form.
    return bare(key) if FORM.search(key) and f"{bare(key)}.other" in all_keys else key


ENGLISH = texts_of("en")
KEYS = {shape(key, set(ENGLISH)) for key in ENGLISH}


def test_the_page_speaks_these_languages() -> None:
    spoken = text(FILES / "words.js").partition("LOCALES = {")[2].partition("}")[0]
    assert tuple(re.findall(r"\"?([\w-]+)\"?: \"", spoken)) == LOCALES


@pytest.mark.parametrize("name", LOCALES)
def test_a_language_has_every_text_and_no_other(name: str) -> None:
    texts = texts_of(name)
    mine = {shape(key, set(texts)) for key in texts}
    assert sorted(KEYS - mine) == [], "not translated"
    assert sorted(mine - KEYS) == [], "of no use"
    counted = {key for key in KEYS if f"{key}.other" in ENGLISH}
    lacking = {key: form for key in counted for form in FORMS.get(name, {"other"}) if f"{key}.{form}" not in texts}
    assert lacking == {}
    assert {key for key, said in texts.items() if not said.strip()} == set()


@pytest.mark.parametrize("name", LOCALES)
def test_a_text_has_the_slots_of_the_english_one(name: str) -> None:
    texts = texts_of(name)
    wrong = {}
    for key, said in texts.items():
        slots = set(SLOT.findall(said))
        meant = set(SLOT.findall(ENGLISH.get(key, ENGLISH.get(f"{bare(key)}.other", ""))))
        if slots != meant and not (meant - slots <= {"{count}"} and key.endswith(".one")):
            wrong[key] = said
    assert wrong == {}


def test_every_text_is_shown_somewhere() -> None:
    code = "\n".join(text(path) for path in MODULES if path != TEXTS)
    literal = set(re.findall(r"""["`]([a-z_]+(?:\.[\w-]+)+)["`]""", code))
    made = {re.escape(each).replace("@", r"[\w.-]+") for each in
            (re.sub(r"\$\{[^}]*\}", "@", found) for found in re.findall(r"`((?:[\w.-]|\$\{[^}`]*\})+)`", code))
            if "@" in each and "." in each}  # fmt: skip
    ways = [re.compile(each) for each in made]
    unused = [key for key in KEYS if key not in literal and not any(way.fullmatch(key) for way in ways)]
    assert sorted(unused) == []


@pytest.mark.parametrize(
    ("way", "values"),
    [
        ("audit.{}", get_args(Action)),
        ("share.{}", get_args(Share)),
        ("devices.role.{}", get_args(Role)),
        ("pair.done.{}", get_args(Role)),
        ("devices.by.{}", get_args(Source)),
        ("devices.{}", get_args(get_type_hints(DeviceRow)["state"])),
        ("status.{}", tuple(Status)),
    ],
)
def test_each_value_of_the_wire_that_is_shown_by_its_name_has_a_text(way: str, values: tuple[str, ...]) -> None:
    assert [value for value in values if way.format(value) not in ENGLISH] == []


def test_a_text_stands_in_a_line_of_its_own_with_all_languages() -> None:
    lines = [line for line in text(TEXTS).splitlines() if line.startswith('"') and not line.endswith("{")]
    assert len(lines) == len(ENGLISH)
    assert all(re.fullmatch(r'"[\w.-]+":\["[^[]*"\],?', line) for line in lines)


# --- in a browser ----------------------------------------------------------------------------------------------------


@pytest.mark.device
@pytest.mark.parametrize(
    ("asked", "spoken"),
    [
        (["de-DE", "ja-JP", "en"], "ja"),
        (["zh-TW"], "zh-Hant"),
        (["zh-HK", "en"], "zh-Hant"),
        (["zh-CN"], "zh-Hans"),
        (["zh"], "zh-Hans"),
        (["zh-Hant-CN"], "zh-Hant"),
        (["en-GB"], "en"),
        (["de"], "en"),
        ([], "en"),
    ],
)
def test_the_language_is_the_first_that_the_browser_wants(module: Run, asked: list[str], spoken: str) -> None:
    assert module("words.js", "({preferred}, asked) => preferred(asked)", asked) == spoken


@pytest.mark.device
def test_a_page_has_all_languages_before_it_is_asked_for_one(module: Run) -> None:
    # After a restart of the service nothing is served to it any more.
    script = """({use, t}) => {
        globalThis.fetch = () => { throw new Error("no service"); };
        return ["en", "ja", "zh-Hans", "zh-Hant"].map((name) => (use(name), t("sidebar.devices")));
    }"""
    assert module("words.js", script) == ["Devices", "デバイス", "设备", "裝置"]


@pytest.mark.device
def test_times_numbers_and_lists_are_written_as_the_language_does(module: Run) -> None:
    script = """({use, t, ago, number, list}) => {
        use("ja");
        const now = Date.parse("2026-01-01T12:00:00Z");
        const all = () => [ago("2026-01-01T11:58:00Z", now), number(12345), list(["a", "b"]),
                           t("sidebar.waiting", { count: 1 })];
        const japanese = all();
        use("en");
        return [japanese, all()];
    }"""
    assert module("words.js", script) == [
        ["2 分", "12,345", "a、b", "1 件が返答待ち"],
        ["2m", "12,345", "a and b", "1 waits for you"],
    ]


@pytest.mark.device
def test_a_text_that_is_missing_is_its_key(module: Run) -> None:
    script = """({use, t}) => { use("ja"); return t("no.such"); }"""
    assert module("words.js", script) == "no.such"
