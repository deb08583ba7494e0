"""Frames that nobody should send: made of the types that the wire has, with something wrong in them. Seeded."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import inspect

from agent.protocol.messages import Nothing
from agent.protocol.methods import METHODS, NOTIFICATIONS

pack = msgspec.msgpack.Encoder().encode
MANY = 3_000


def _deep(depth: int) -> object:
    nested: object = []
    for _ in range(depth):
        nested = [nested]
    return nested


HOSTILE: tuple[object, ...] = (
    *(None, True, -1, 0, 2**31, 2**53 + 1, 2**63 - 1, 2**64 - 1, -(2**63)),
    *(1e300, -1e300, 5e-324, float("nan"), float("inf"), float("-inf")),
    *("", "\0", "\x1b]0;x\x07", "\u202etxt", "\U000e0041" * 50, "../../etc/passwd", "~", "-rf", "%s%n", "\n" * 500),
    *("a" * 70_000, "a" + "\u0301" * 40_000, "\u1161" * 20_000, "\ufdfa" * 20_000, "9" * 5_000, "ﬀ" * 30_000),
    *(b"", b"\0" * 1_000, b"\xff" * 70_000, [], {}, [[]] * MANY, [None] * MANY, {"": None}),
    *({str(number): number for number in range(MANY)}, _deep(20), _deep(400), {"jsonrpc": {"id": {"method": []}}}),
    *(msgspec.msgpack.Ext(5, b"x" * 100), msgspec.msgpack.Ext(-1, b"\xff" * 12), msgspec.msgpack.Ext(127, b"")),
)
BYTES: tuple[bytes, ...] = (
    *(b"", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"),
    *(b"\x91" * 50_000, b"\x81" * 50_000, b"\xa1\xff", b"\x93\x01", pack("text"), pack([1, 2]), pack(None)),
)
"""Whole frames that are none."""


class Fuzzer:
    """Makes one frame after the other. Every second one is right: three bad ones in a row end a link."""

    def __init__(self, seed: int, sessions: Sequence[str]) -> None:
        """`sessions`: ids that exist over there."""
        self._dice = random.Random(seed)
        self._sessions = tuple(sessions)
        self._asked = 0
        self._right = False  # whether the last one was
        self._wrong = 0.0  # how likely a value is hostile, of the frame that is being made

    def frame(self) -> bytes:
        """A request, a notification or a response, or bytes that are none."""
        self._right = not self._right
        if self._right:
            return self._request("session.participants", {"session_id": self._dice.choice(self._sessions)})
        self._wrong = self._dice.choice((0.0, 0.02, 0.1, 0.5))
        made = self._dice.choices((self._asking, self._telling, self._answering, self._bytes), (6, 4, 1, 1))[0]()
        return self._broken(made) if self._dice.random() < 0.2 else made

    def answer(self, asked: object, method: str) -> bytes:
        """An answer to a request of the other side."""
        self._wrong = self._dice.choice((0.0, 0.02, 0.1, 0.5))
        kind = METHODS[method].result if method in METHODS else Nothing
        result = self._hostile() if kind is Nothing else self._of(inspect.type_info(kind))
        made = pack({"jsonrpc": "2.0", "id": asked, "result": result})
        return self._broken(made) if self._dice.random() < 0.2 else made

    # --- frames ------------------------------------------------------------------------------------------------------

    def _request(self, method: str, params: object) -> bytes:
        self._asked += 1
        return pack({"jsonrpc": "2.0", "id": self._asked, "method": method, "params": params})

    def _asking(self) -> bytes:
        method = self._dice.choice(list(METHODS))
        return self._request(method, self._of(inspect.type_info(METHODS[method].params)))

    def _telling(self) -> bytes:
        method = self._dice.choice(list(NOTIFICATIONS))
        params = self._of(inspect.type_info(NOTIFICATIONS[method].params))
        return pack({"jsonrpc": "2.0", "method": method, "params": params})

    def _answering(self) -> bytes:
        number = self._dice.choice((0, 1, 7, 2**53, self._asked))
        what = self._dice.choice(("result", "error"))
        return pack({"jsonrpc": "2.0", "id": number, what: self._hostile()})

    def _bytes(self) -> bytes:
        return self._dice.choice((*BYTES, pack(self._hostile()), self._dice.randbytes(self._dice.randrange(300))))

    def _broken(self, frame: bytes) -> bytes:
        at = self._dice.randrange(len(frame) + 1)
        noise = self._dice.randbytes(self._dice.randrange(1, 9))
        how: tuple[Callable[[], bytes], ...] = (
            lambda: frame[:at],
            lambda: frame[:at] + noise + frame[at:],
            lambda: frame[:at] + noise + frame[at + len(noise) :],
            lambda: frame + frame,
        )
        return self._dice.choice(how)()

    # --- values ------------------------------------------------------------------------------------------------------

    def _hostile(self) -> object:
        return self._dice.choice(HOSTILE)

    def _of(self, kind: inspect.Type) -> object:  # noqa: PLR0911, PLR0912, C901 - one case a type
        if self._dice.random() < self._wrong:
            return self._hostile()
        match kind:
            case inspect.Metadata(type=inner):
                return self._of(inner)
            case inspect.StructType(fields=fields):
                kept = (field for field in fields if field.required or self._dice.random() < 0.6)
                return {field.encode_name: self._field(field.name, field.type) for field in kept}
            case inspect.UnionType(types=types):
                return self._of(self._dice.choice(types))
            case inspect.LiteralType(values=values):
                return self._dice.choice(values)
            case inspect.EnumType(cls=cls):
                return self._dice.choice(list(cls)).value
            case inspect.IntType(ge=least, le=most):
                return self._dice.choice((least or 0, most if most is not None else 2**40, self._dice.randrange(99)))
            case inspect.FloatType():
                return self._dice.choice((0.0, 1.5, 1e300, -1.0))
            case inspect.BoolType():
                return self._dice.random() < 0.5
            case inspect.StrType(max_length=most):
                return self._dice.choice(("", "x", "ok", "é" * self._dice.randrange(40), "z" * min(most or 999, 9_999)))
            case inspect.BytesType():
                return self._dice.randbytes(self._dice.randrange(64))
            case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
                return [self._of(item) for _ in range(self._dice.choice((0, 1, 3, 40)))]
            case inspect.DictType(value_type=item):
                return {f"k{number}": self._of(item) for number in range(self._dice.randrange(4))}
            case inspect.NoneType():
                return None
            case _:
                return self._hostile() if self._dice.random() < 0.5 else {}

    def _field(self, name: str, kind: inspect.Type) -> Any:
        if name in {"session_id", "id"} and self._dice.random() < 0.7:
            return self._dice.choice(self._sessions)
        return self._of(kind)
