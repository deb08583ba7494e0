"""The part of the wire that carries a session's terminal (docs/design/terminal.md), and its figures.

What a program writes is one stream of bytes, numbered from its start: `epoch` names the stream, `offset` a byte of it.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Raw, Struct

from agent.errors import BadParams, TooLarge
from agent.protocol.bounds import Whole
from agent.protocol.model import SessionKey
from agent.protocol.waiting import Patient

RING = 720_896
"""Bytes of output that are kept for viewers that come late or fall behind: as base64 they still fit into one frame."""
CHUNK = 65_536
"""Bytes of one `terminal.output` or `terminal.input` at most."""
TAKEN_EVERY = 65_536
"""Bytes of output after which a viewer acknowledges them."""
WINDOW = 524_288
"""Bytes of output on their way to one viewer that it has not acknowledged yet."""
CONNECTION_MAX = 2_097_152
"""Bytes of output on their way over one connection, of all its terminals: half of what may wait there."""
ATTACHED_MAX = 16
"""Terminals that one connection may have attached: each still has two `TAKEN_EVERY` of them."""
BEHIND = 1_048_576
"""Bytes that one viewer may be behind the fastest one behind the same gateway; it then goes on with a new replay."""
ROWS, COLS = 24, 80
"""Size of a terminal until a viewer is attached."""

Selector = Annotated[str, Meta(min_length=1, max_length=256)]
Epoch = Annotated[str, Meta(max_length=128)]
Rows = Annotated[int, Meta(ge=0, le=2000)]  # 0: a viewer whose size does not count
Output = Annotated[bytes, Meta(max_length=RING)]
Offset = Annotated[int, Meta(ge=0, le=2**53)]


class Size(NamedTuple):
    """The size of a terminal in characters."""

    rows: int
    cols: int


class TerminalAttach(Patient, frozen=True, kw_only=True, omit_defaults=True):
    """`terminal.attach`: with `after` and `epoch`, go on from there; else a replay of what is kept."""

    rows: Rows = 0
    cols: Rows = 0
    after: Offset | None = None
    epoch: Epoch = ""


class TerminalAttached(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of `terminal.attach`: bytes from `offset` on; those after them follow as `terminal.output`.

    `resumed`: `offset` is what was asked for. Else the viewer starts afresh: clear, write `modes`, then `data`.
    """

    session_id: SessionKey
    epoch: Epoch
    offset: Offset
    data: Output
    rows: Rows
    cols: Rows
    resumed: bool = False
    modes: Output = b""  # control sequences: what was switched on before `offset`


class TerminalInput(Struct, frozen=True, kw_only=True):
    """`terminal.input`: bytes as a keyboard sends them. In JSON they are base64."""

    session_id: Selector
    data: Raw


class TerminalResize(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`terminal.resize`: the viewer's window has another size, or must be drawn anew (`repaint`)."""

    session_id: Selector
    rows: Rows
    cols: Rows
    repaint: bool = False


class TerminalDetach(Struct, frozen=True, kw_only=True):
    """`terminal.detach`: watch the terminal of a session no more."""

    session_id: Selector


class TerminalOutput(Struct, frozen=True, kw_only=True):
    """`terminal.output`. An `offset` beyond the last byte that a viewer has is a gap: it attaches again."""

    session_id: SessionKey
    offset: Offset
    data: Output


class TerminalResized(Struct, frozen=True, kw_only=True):
    """`terminal.resized`: the size that the program sees, the smallest of those attached."""

    session_id: SessionKey
    rows: Rows
    cols: Rows


class TerminalTaken(Struct, frozen=True, kw_only=True):
    """`terminal.taken`, from the viewer: it has everything before `offset`, so more may be sent."""

    session_id: SessionKey
    offset: Offset


class TerminalClosed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`terminal.closed`: the program has ended, and everything before `offset` was sent."""

    session_id: SessionKey
    offset: Offset
    exit_status: Whole | None = None


def typed_bytes(request: TerminalInput) -> bytes:
    """The bytes that were typed, from raw parameters. Raises: BadParams, TooLarge."""
    try:
        data = msgspec.msgpack.decode(request.data)
        if isinstance(data, str):
            data = msgspec.convert(data, bytes)  # base64, from a client that speaks JSON
    except (ValueError, RecursionError) as exc:
        raise BadParams(f"data: {exc}") from exc
    if not isinstance(data, bytes):
        raise BadParams("data is bytes (in JSON: base64)")
    if len(data) > CHUNK:
        raise TooLarge(f"{len(data):,} bytes typed at once; {CHUNK:,} fit")
    return data
