"""What programs of others write is read as far as it can be: nothing raises, and nothing odd costs what is sound."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, Struct, field

from agent.protocol.bounds import Amount, Many, Table, Whole, Words
from agent.protocol.lenient import DEPTH_MAX, PARTS_MAX, LenientReader, items, number_or_text, read


class Inner(Struct, frozen=True):
    name: Words
    size: Whole = 7
    inner: Many[Inner] | None = None


class One(Struct, tag_field="kind", tag="one"):
    text: Words = ""


class Two(Struct, tag_field="kind", tag="two"):
    count: Whole


class Message(Struct, frozen=True):
    text: Words = "-"
    number: Whole | None = None
    share: Amount = 0.0
    flag: bool = False
    inner: Inner | None = None
    many: Many[Inner] = []
    table: Table[Whole] = {}
    either: Words | Many[Words] | None = None
    fixed: Literal["yes", "no"] = "no"
    raw: Raw = field(default=Raw(b""), name="theRaw")
    update: One | Two | None = None


def told(data: bytes | str) -> Message:
    found = read(data, Message)
    assert found is not None
    return found


# --- bytes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'{"text":"a"}', "a"),
        (b'\xef\xbb\xbf{"text":"a"}', "a"),
        (b' \r\n\x00{"text":"a"}\x00\n', "a"),
        (b'{"text":"a\xffb"}', "a\ufffdb"),
        (b'{"x":"\xff","text":"a"}', "a"),
        (b'{"text":"a\tb\x00c"}', "a\tb\x00c"),
        (rb'{"text":"a\qb\u12z"}', r"a\qb\u12z"),
        (rb'{"text":"\\ud83d \"\\"}', '\\ud83d "\\'),
        (rb'{"text":"\ud83d\ude00"}', "😀"),
        (rb'{"text":"a\ud83d"}', "a"),
        (rb'{"text":"\ud83da"}', "\ufffda"),
        (rb'{"text":"\ude00"}', "\ufffd"),
        (rb'{"text":"\ud83d\ud83d\ude00\udead"}', "\ufffd😀\ufffd"),
        (b'{"text":"\xed\xa0\xbd\xed\xb8\x80"}', "😀"),
        (b'{"number":NaN,"share":-Infinity,"text":"NaN, Infinity"}', "NaN, Infinity"),
        (b'{"text":"a","text":"b"}', "b"),
        (rb'{"\ud83d":1,"text":"a"}', "a"),
        ('{"text":"a\ud83d"}', "a"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_json_are_mended(data: bytes | str, text: str) -> None:
    assert told(data).text == text


def test_a_character_in_two_messages_is_put_together() -> None:
    reader = LenientReader()
    messages = [rb'{"text":"a\ud83d"}', b'{"number":3.0}', rb'{"text":"\ude00b"}', rb'{"text":"\ude00c"}']
    found = [reader.read(each, Message) for each in messages]
    assert [each.text for each in found if each] == ["a", "-", "😀b", "\ufffdc"]


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"3", b"nonsense", b'{"text":"a"', b"{'text':1}", b'{"text":"a"}{"text":"b"}', b"[" * 100_000,
     b'{"x":' * 100_000, b'{"text":"' + b"\\" * 99_999],
)  # fmt: skip
def test_what_is_nothing_is_none(data: bytes) -> None:
    assert read(data, Message) is None


# --- types -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"text": None, "number": "x", "share": [], "flag": {}, "inner": 3}, Message()),
        ({"many": None, "table": 3, "either": {}}, Message()),
        ({"text": 3, "number": 3.0, "share": "0.5", "flag": "true"}, Message("3", 3, 0.5, flag=True)),
        ({"text": 3.0, "number": "12", "share": 1, "flag": 1}, Message("3", 12, 1.0, flag=True)),
        ({"number": 10**30, "share": 10**300, "text": True}, Message()),
        ({"number": 3.5}, Message()),
        ({"inner": {"name": "a", "size": None}}, Message(inner=Inner("a"))),
        ({"inner": {"size": 3}, "text": "b"}, Message("b")),
        ({"many": [{"name": "a"}, {"size": 1}, None, 3]}, Message(many=[Inner("a")])),
        ({"many": [{"name": 4, "size": "5"}]}, Message(many=[Inner("4", 5)])),
        ({"many": {"name": "a"}, "number": "1"}, Message(many=[Inner("a")], number=1)),
        ({"many": [{"name": "a", "inner": {"name": "b", "inner": [3]}}]}, Message(many=[Inner("a", 7, [Inner("b")])])),
        ({"table": {"a": "1", "b": [], "c": 2.0}}, Message(table={"a": 1, "c": 2})),
        ({"either": ["a", None, 3]}, Message(either=["a", "3"])),
        ({"either": 3}, Message(either="3")),
        ({"fixed": "maybe"}, Message()),
        ({"fixed": "yes", "number": "1"}, Message(fixed="yes", number=1)),
        ({"update": {"kind": "two", "count": 3.0}}, Message(update=Two(3))),
        ({"update": {"kind": "one", "text": None}}, Message(update=One())),
        ({"update": {"kind": "two"}}, Message()),
        ({"update": {"kind": "three"}}, Message()),
        ({"update": {"kind": 3}}, Message()),
        ({"update": "one", "text": "a"}, Message("a")),
    ],
)  # fmt: skip
def test_each_field_is_read_by_itself(data: object, message: Message) -> None:
    assert told(json.dumps(data).encode()) == message


def test_what_has_no_default_decides_and_what_is_raw_stays_as_it_came() -> None:
    assert read(b'{"size":3}', Inner) is None
    assert read(b'{"name":null}', Inner) is None
    assert read(b'{"name":{}}', Inner) is None
    assert bytes(told(b'{"theRaw":{"a": [1]},"number":"3"}').raw) == b'{"a": [1]}'


def test_a_text_is_cut_to_its_bound_and_a_list_to_its_own() -> None:
    long = read(json.dumps({"text": "x" * 5_000_000}).encode(), Message)
    assert long is not None
    assert len(long.text) == 4_194_304
    assert len(items(b"[" + b"0," * 70_000 + b"0]")) == 65_536
    assert items(b"[" + b"0," * 300_000 + b"0]") == []  # each would take thirty times its bytes
    assert len(items(b'["' + b"0," * 300_000 + b'"]')) == 1
    assert items(b"{}") == items(b"") == []


@pytest.mark.parametrize(
    "data",
    [
        b'{"many":[' + b"0," * 500_000 + b'0],"text":3}',
        b'{"many":[' + b"{}," * 340_000 + b"{}]}",
        b'{"many":[' + rb'"\ud83d",' * 110_000 + b"0]}",
        b'{"table":{' + b",".join(b'"%d":0' % number for number in range(100_000)) + b',"x":"y"}}',
        b'{"text":"' + b"\xff" * 1_000_000 + b'"}',
        b'{"either":["' + b"a," * 500_000 + b'"],"number":"3"}',
        b"[" * 1_000_000,
    ],
    ids=["numbers", "objects", "halves", "keys", "bytes", "commas", "brackets"],
)
def test_t11_no_message_of_a_megabyte_takes_more_than_40(data: bytes) -> None:
    tracemalloc.start()
    read(data, Message)
    items(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40_000_000


def test_a_message_of_too_many_values_is_none_and_commas_of_texts_are_no_values() -> None:
    assert read(b'{"x":[' + b"0," * PARTS_MAX + b'0],"text":"a"}', Message) is None
    assert told(b'{"x":"' + b"0," * PARTS_MAX + b'","text":"a"}').text == "a"


def test_depth_has_an_end() -> None:
    deep = b'{"name":"a","size":"x","inner":[' * (DEPTH_MAX + 9) + b"]}" * (DEPTH_MAX + 9)
    found, depth = read(deep, Inner), 0
    while found is not None:
        found, depth = found.inner[0] if found.inner else None, depth + 1
    assert 8 < depth <= DEPTH_MAX


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"3", 3), (b"3.0", 3), (b'"3"', 3), (b'"3.0"', 3), (b"-1", -1), (b"3.5", "3.5"), (b"1e20", "1e20"),
        (b"9007199254740993", 9007199254740993), (b'"a3"', "a3"), (b'"\xff"', "\ufffd"), (b'"nan"', "nan"),
        (b'"1e999"', "1e999"), (b"1e999", None), (b"null", None), (b"", None), (b"{}", None), (b"true", None),
    ],
)  # fmt: skip
def test_an_id_is_the_same_however_it_is_written(data: bytes, name: object) -> None:
    assert number_or_text(Raw(data)) == name


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    [*(each for each in Message.__struct_encode_fields__ if each != "text"), "name", "size", "kind"]
)


@given(st.dictionaries(FIELDS, JSON, max_size=6), st.text(max_size=20))
def test_no_field_of_any_type_costs_another_one(fields: dict[str, Any], text: str) -> None:
    written = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # as no half can be
    assert told(json.dumps({**fields, "text": written}).encode()).text == written


@given(st.binary(max_size=200), st.binary(max_size=20), st.integers(0, 200))
def test_any_bytes_are_read_as_something_or_nothing(data: bytes, damage: bytes, at: int) -> None:
    sound = b'{"text":"a\\ud83d\\ude00","many":[{"name":"b","size":3}],"table":{"x":1},"update":{"kind":"one"}}'
    for each in (data, sound[:at] + damage + sound[at:], sound[:at] + damage):
        read(each, Message)
        items(each)
        number_or_text(Raw(each))
