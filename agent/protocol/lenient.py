"""Reads JSON of programs that are not ours: what fits is taken, what does not fit is left out, and nothing is raised.

Bytes are mended first: byte order marks, bytes that are no UTF-8, halves of surrogate pairs, control characters, NaN.
Then each field is read by itself: null or another type where a default may stand leaves the default, numbers and texts
stand in for each other, what does not fit in a list is left out of it, text is cut to its bound. Only what has no
default decides whether anything can be read at all. What is sound takes none of these ways and costs nothing.

Our own wire is strict: `codec`. Reasons and measurements: docs/decisions/0031-lenient-reader.md.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar, overload

import msgspec
from msgspec import Raw, inspect

from agent.protocol.bounds import MANY_MAX

T = TypeVar("T")

BAD = (ValueError, RecursionError)
"""What msgspec raises for bytes that do not fit: its own errors and UnicodeDecodeError are ValueErrors."""
MENDED_MAX = 1_048_576
"""Bytes beyond which only the encoding is mended: the rest takes time for every text in them."""
PARTS_MAX = 4 * MANY_MAX
"""Values of one message, in all its lists and objects."""
CROWDED = 2 * PARTS_MAX
"""Bytes below which no message has so many."""
HALVES_MAX = 65_536
"""Characters beyond U+FFFF of one message that are looked at, whether they are whole."""
DEPTH_MAX = 32
"""Structs within structs that are read field by field."""

_BOM = b"\xef\xbb\xbf"
_AROUND = _BOM + b"\x00 \t\r\n"
_REPLACEMENT = "\ufffd".encode()
_ENCODED_HALF = re.compile(rb"\xed([\xa0-\xbf])([\x80-\xbf])")  # a surrogate as UTF-8 has none (CESU-8)
_HALF = re.compile(rb"(?<!\\)((?:\\\\)*+)\\u([dD][89a-fA-F][0-9a-fA-F]{2})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?")
_ODD = re.compile(rb"[\x00-\x1f]|NaN|Infinity|\\(?![\"\\/bfnrtu])|\\u(?![0-9a-fA-F]{4})")
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|-?(?:NaN|Infinity)', re.DOTALL)
_IN_TEXT = re.compile(rb"\\(?:[\"\\/bfnrt]|u[0-9a-fA-F]{4})|\\|[\x00-\x1f]")


class LenientReader:
    """Reads the messages of one stream. A character whose halves come in two messages is put together."""

    def __init__(self) -> None:
        self._half = b""  # the first half that ended a text, as four hexadecimal digits

    def read(self, data: bytes | str | Raw, kind: type[T]) -> T | None:
        """Read a message as that type; None if nothing of it can be. Raises nothing."""
        if too_many(data):
            return None
        try:
            found: T = _decoder(kind).decode(data)
        except BAD:
            return _read_mended(self.mended(data), kind)
        return found

    def mended(self, data: bytes | str | Raw) -> bytes:
        """Mend JSON so that msgspec takes it, as far as that can be done."""
        data = data.encode(errors="surrogatepass") if isinstance(data, str) else bytes(data)
        data = _ENCODED_HALF.sub(_escaped_half, data.strip(_AROUND))
        if not data.isascii():
            data = data.decode(errors="replace").encode()
        data = _HALF.sub(self._without_halves, data, count=HALVES_MAX)
        if len(data) <= MENDED_MAX and _ODD.search(data):
            data = _TOKEN.sub(_without_oddities, data)
        return data

    def _without_halves(self, found: re.Match[bytes]) -> bytes:
        backslashes, first, second = found.groups()
        start, end = found.span()
        before, after = found.string[max(0, start - 1) : start], found.string[end : end + 1]
        if first[1:2] in b"89abAB":
            if second:
                return found[0]  # a whole character
            if after != b'"':
                return backslashes + _REPLACEMENT
            self._half = first
            return backslashes  # cut at the end of a text: the other half may come
        half, self._half = self._half, b""
        rest = _REPLACEMENT if second else b""
        if half and not backslashes and before == b'"':
            return b"\\u" + half + b"\\u" + first + rest
        return backslashes + _REPLACEMENT + rest


@overload
def read(data: bytes | str | Raw, kind: type[T]) -> T | None: ...
@overload
def read(data: bytes | str | Raw, kind: Any) -> Any: ...
def read(data: bytes | str | Raw, kind: Any) -> Any:
    """Read JSON that stands alone as that type; None if nothing of it can be. Raises nothing."""
    return LenientReader().read(data, kind)


def too_many(data: bytes | str | Raw) -> bool:
    """Whether a message has more parts than anybody's has: each takes thirty times its bytes once it is read."""
    raw = data.encode(errors="replace") if isinstance(data, str) else bytes(data)
    if len(raw) <= CROWDED or raw.count(b",") < PARTS_MAX:
        return False
    commas = at = 0  # outside of texts
    for text in _TEXT.finditer(raw):
        commas += raw.count(b",", at, text.start())
        at = text.end()
        if commas >= PARTS_MAX:
            return True
    return commas + raw.count(b",", at) >= PARTS_MAX


def items(data: bytes | Raw, most: int = MANY_MAX) -> list[Raw]:
    """The elements of a JSON list, at most so many; none if it is no list. Raises nothing."""
    with contextlib.suppress(_Misfit):
        return _elements(bytes(data), most)
    return []


def number_or_text(data: Raw) -> int | str | None:
    """An id as programs write it back: 3, 3.0 and "3" are one; None for what is no id. Raises nothing."""
    told = read(data, str)
    if told is None:
        return None
    with contextlib.suppress(*BAD, OverflowError):
        value = float(told)
        if value == int(value):
            return int(value) if abs(value) < 2**53 else int(told)
    return told


_decoder: Callable[[Any], msgspec.json.Decoder[Any]] = lru_cache(256)(msgspec.json.Decoder)
_described: Callable[[Any], inspect.Type] = lru_cache(256)(inspect.type_info)


def _read_mended(data: bytes, kind: type[T]) -> T | None:
    with contextlib.suppress(_Misfit, *BAD):
        try:
            found: T = _decoder(kind).decode(data)
        except msgspec.ValidationError:
            _decoded(data, Raw)  # whether it is JSON up to its end
            found = _fitted(data, _described(kind), 0)
        return found
    return None


# --- bytes ------------------------------------------------------------------------------------------------------------


def _escaped_half(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % (0xD000 | (found[1][0] & 0x3F) << 6 | found[2][0] & 0x3F)


def _without_oddities(found: re.Match[bytes]) -> bytes:
    token = found[0]
    return _IN_TEXT.sub(_escaped, token) if token.startswith(b'"') else b"null"


def _escaped(found: re.Match[bytes]) -> bytes:
    odd = found[0]
    if len(odd) > 1:
        return odd
    return b"\\\\" if odd == b"\\" else b"\\u%04x" % odd[0]


# --- types ------------------------------------------------------------------------------------------------------------


class _Misfit(Exception):
    """The value is nothing of that type."""


def _fitted(raw: bytes, kind: inspect.Type, depth: int) -> Any:  # noqa: PLR0911 - one return a kind of type
    match kind:
        case inspect.Metadata():
            return _fitted(raw, kind.type, depth)
        case inspect.RawType():
            return Raw(raw)
        case inspect.UnionType():
            return _alternative(raw, kind, depth)
        case inspect.StructType():
            return _struct(raw, kind, depth)
        case inspect.ListType() | inspect.VarTupleType():
            return _many(raw, kind, depth)
        case inspect.DictType():
            return _table(raw, kind, depth)
        case inspect.StrType():
            return _text(raw)[: kind.max_length]
        case inspect.IntType() | inspect.FloatType():
            return _number(raw, kind)
        case inspect.BoolType():
            return _flag(raw)
        case inspect.NoneType() if raw == b"null":
            return None
        case inspect.LiteralType() if (text := _text(raw)) in kind.values:
            return text
        case _:
            raise _Misfit


def _alternative(raw: bytes, kind: inspect.UnionType, depth: int) -> Any:
    if raw == b"null":
        return _fitted(raw, inspect.NoneType(), depth) if kind.includes_none else _misfit()
    # What it looks like is tried first, then what it may stand for.
    tagged = [each for each in kind.types if isinstance(each, inspect.StructType) and each.tag is not None]
    chosen: Sequence[inspect.Type]
    if tagged:
        name = _tag(raw, tagged[0].tag_field or "")
        chosen = [each for each in tagged if each.tag == name]
    else:
        looks: dict[bytes, tuple[type[inspect.Type], ...]] = {
            b'"': (inspect.StrType, inspect.LiteralType),
            b"{": (inspect.StructType, inspect.DictType),
            b"[": (inspect.ListType, inspect.VarTupleType),
            b"t": (inspect.BoolType,),
            b"f": (inspect.BoolType,),
        }
        alike = looks.get(raw[:1], (inspect.IntType, inspect.FloatType))
        chosen = sorted(kind.types, key=lambda each: not isinstance(each, alike))
    for each in chosen:
        with contextlib.suppress(_Misfit):
            return _fitted(raw, each, depth)
    raise _Misfit


def _struct(raw: bytes, kind: inspect.StructType, depth: int) -> Any:
    if depth >= DEPTH_MAX:
        raise _Misfit
    parts = _decoded(raw, _parts_of(kind.cls))
    found: dict[str, Any] = {}
    for field in kind.fields:
        part = bytes(getattr(parts, field.name))
        try:
            found[field.name] = _fitted(part, field.type, depth + 1) if part else _misfit()
        except _Misfit:
            if field.required:
                raise
    return kind.cls(**found)


@lru_cache(256)
def _parts_of(struct: type[Any]) -> type[Any]:
    """The same fields, all raw: fields that nobody has use for are never made into anything."""
    fields = msgspec.structs.fields(struct)
    absent = [(field.name, Raw, Raw(b"")) for field in fields]
    return msgspec.defstruct(struct.__name__, absent, rename={field.name: field.encode_name for field in fields})


def _tag(raw: bytes, name: str) -> str:
    with contextlib.suppress(_Misfit):
        return _text(bytes(_decoded(raw, _tag_of(name)).tag))
    return ""


@lru_cache(16)
def _tag_of(name: str) -> type[Any]:
    return msgspec.defstruct("_Tag", [("tag", Raw, Raw(b""))], rename={"tag": name})


def _many(raw: bytes, kind: inspect.ListType | inspect.VarTupleType, depth: int) -> Any:
    if raw == b"null":
        raise _Misfit
    # One that should be a list and is its only element counts as that list.
    elements = _elements(raw, kind.max_length or MANY_MAX) if raw.startswith(b"[") else [Raw(raw)]
    found = []
    for each in elements:
        with contextlib.suppress(_Misfit):
            found.append(_fitted(bytes(each), kind.item_type, depth + 1))
    if elements and not found:
        raise _Misfit
    return found if isinstance(kind, inspect.ListType) else tuple(found)


def _elements(raw: bytes, most: int) -> list[Raw]:
    if too_many(raw):
        raise _Misfit
    found: list[Raw] = _decoded(raw, list[Raw])[:most]
    return found


def _table(raw: bytes, kind: inspect.DictType, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in _decoded(raw, dict[str, Raw]).items():
        if len(found) < (kind.max_length or MANY_MAX):
            with contextlib.suppress(_Misfit):
                found[name] = _fitted(bytes(value), kind.value_type, depth + 1)
    return found


def _text(raw: bytes) -> str:
    if raw.startswith(b'"'):
        text: str = _decoded(raw, str)
        return text
    # A number stands for its text: an id, most often.
    number = _number(raw, inspect.FloatType())
    return raw.decode() if number != int(number) or b"e" in raw.lower() else raw.decode().partition(".")[0]


def _number(raw: bytes, kind: inspect.IntType | inspect.FloatType) -> int | float:
    try:
        value = float(_decoded(raw, str) if raw.startswith(b'"') else raw)
    except ValueError:
        raise _Misfit from None
    whole = isinstance(kind, inspect.IntType)
    if not math.isfinite(value) or (whole and value != int(value)):
        raise _Misfit
    if (kind.ge is not None and value < kind.ge) or (kind.le is not None and value > kind.le):
        raise _Misfit
    return int(value) if whole else value


def _flag(raw: bytes) -> bool:
    if raw not in {b"true", b"false", b'"true"', b'"false"', b"1", b"0"}:
        raise _Misfit
    return raw.strip(b'"') in {b"true", b"1"}


def _decoded(raw: bytes, kind: Any) -> Any:
    try:
        return _decoder(kind).decode(raw)
    except BAD:
        raise _Misfit from None


def _misfit() -> Any:
    raise _Misfit
