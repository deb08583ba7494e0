"""T11: whatever arrives has a bound in its type: every text, list, mapping and number of every type that is decoded.

The types are found, not listed: whatever class or type is handed to a function somewhere in the program, as decoders
and their wrappers take it, and the tables of the wire. So the next one without a bound fails here.
"""

from __future__ import annotations

import ast
import importlib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any

import msgspec
from msgspec import Struct, inspect

from agent.protocol.events import TYPES
from agent.protocol.methods import METHODS, NOTIFICATIONS
from tests.test_imports import MODULES, name_of

NO_DECODERS = {"isinstance", "issubclass", "cast", "type", "replace", "fields", "asdict", "NewType", "frozenset"}
"""Functions that take classes and decode nothing."""

A_TYPE = ast.Name | ast.Attribute | ast.Subscript | ast.BinOp | ast.BitOr | ast.Tuple | ast.Constant | ast.expr_context
"""What an expression that names a type is made of."""

OWN_FILES = {
    "agent.settings": "the owner's own words, in a file of his",
    "agent.adapters.storage": "what this service wrote itself, after it was cut; too large a file is not read",
}
"""Modules that decode nothing that arrives."""

UNBOUNDED = {
    "Said.text": "never decoded: a class that is made, in pieces",
    "Thought.text": "as above",
    "ErrorData.retry_after": "`from_wire` brings it into bounds: one wrong number must not cost the whole error",
}
"""Field -> why it needs no bound of its own. Keep it short."""


def types_handed_over(path: Path) -> Iterator[Any]:
    """Every type that this module passes to a function and that holds a struct."""
    module = vars(importlib.import_module(name_of(path)))
    for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
        called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if called in NO_DECODERS:
            continue
        for argument in [*call.args, *(each.value for each in call.keywords)]:
            if all(isinstance(node, A_TYPE) for node in ast.walk(argument)):
                value = evaluated(argument, module)
                if holds_struct(value) and is_decodable(value):
                    yield value


def evaluated(argument: ast.expr, module: dict[str, Any]) -> Any:
    try:
        return eval(compile(ast.Expression(argument), "", "eval"), dict(module))
    except (NameError, AttributeError, TypeError, LookupError):
        return None  # a local value


def holds_struct(value: Any) -> bool:
    if isinstance(value, type) and not typing.get_args(value):
        return issubclass(value, Struct)
    is_type = isinstance(value, UnionType) or typing.get_origin(value) is not None
    return is_type and any(holds_struct(each) for each in typing.get_args(value))


def is_decodable(kind: Any) -> bool:
    """Whether msgspec has a decoder for it: the bound of a type variable, say, is none."""
    try:
        msgspec.msgpack.Decoder(kind)
    except TypeError:
        return False
    return True


def roots() -> dict[str, Any]:
    tables: dict[str, Mapping[str, Any]] = {
        "methods": {name: row.params for name, row in METHODS.items()},
        "notifications": {name: row.params for name, row in NOTIFICATIONS.items()},
        "results": {name: row.result for name, row in METHODS.items()},
        "events": TYPES,
    }
    found = {f"{table}:{name}": kind for table, kinds in tables.items() for name, kind in kinds.items()}
    for path in MODULES:
        module = name_of(path)
        if path.name != "__main__.py" and not module.startswith(tuple(OWN_FILES)):
            found |= {f"{module}:{kind}": kind for kind in types_handed_over(path)}
    return found


class Walk:
    """Every place in a type that has no bound, and what is missing there."""

    def __init__(self, kind: Any) -> None:
        self.missing: dict[str, str] = {}
        self._seen: set[type] = set()
        self._look(getattr(kind, "__name__", str(kind)), inspect.type_info(kind))

    def _look(self, at: str, info: inspect.Type) -> None:
        if isinstance(info, inspect.StructType):
            self._struct(info)
        elif isinstance(info, inspect.IntType | inspect.FloatType):
            self._number(at, info)
        elif isinstance(info, inspect.AnyType | inspect.CustomType):
            self.missing[at] = "a type"
        else:
            if getattr(info, "max_length", 0) is None:
                self.missing[at] = "max_length"
            for name, inner in _inside(info):
                self._look(f"{at}{name}", inner)
        # What stays raw is decoded elsewhere, as another of these types.

    def _struct(self, info: inspect.StructType) -> None:
        if info.cls not in self._seen:
            self._seen.add(info.cls)
            for field in info.fields:
                self._look(f"{info.cls.__qualname__}.{field.name}", field.type)

    def _number(self, at: str, info: inspect.IntType | inspect.FloatType) -> None:
        if (info.ge is None and info.gt is None) or (info.le is None and info.lt is None):
            self.missing[at] = "ge and le"


def _inside(info: inspect.Type) -> Iterator[tuple[str, inspect.Type]]:
    if isinstance(info, inspect.CollectionType):
        yield "[]", info.item_type
    elif isinstance(info, inspect.DictType):
        yield ".key", info.key_type
        yield ".value", info.value_type
    elif isinstance(info, inspect.TupleType):
        yield from (("[]", each) for each in info.item_types)
    elif isinstance(info, inspect.UnionType):
        yield from (("", each) for each in info.types)
    elif isinstance(info, inspect.Metadata):
        yield "", info.type


def test_every_type_that_is_decoded_is_found() -> None:
    names = {getattr(kind, "__name__", str(kind)) for kind in roots().values()}
    wanted = {"Envelope", "Statement", "SessionRow", "Hello", "Chunk", "_UpdateFrame", "GatewayFrame", "_Attached"}
    assert wanted <= names
    assert len(names) > 80


class Inner(Struct):
    text: str
    tags: list[msgspec.Raw]


class Outer(Struct):
    inner: Inner | None
    count: int
    share: float
    data: bytes
    table: dict[str, object]
    free: Any


def test_what_has_no_bound_is_noticed() -> None:
    assert set(Walk(Outer).missing) == {
        f"Outer.{field}" for field in ("count", "share", "data", "table", "table.key", "table.value", "free")
    } | {f"Inner.{field}" for field in ("text", "tags")}


def test_t11_whatever_arrives_has_a_bound_in_its_type() -> None:
    found = {at: missing for kind in roots().values() for at, missing in Walk(kind).missing.items()}
    assert {at: missing for at, missing in found.items() if at not in UNBOUNDED} == {}
    assert set(UNBOUNDED) <= set(found), "these have a bound now"
