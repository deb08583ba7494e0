"""An optional part of a backend: the terminal that its program runs on, to be shown and typed on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from agent.protocol.terminal import Size


class Terminal(Protocol):
    """A program's terminal. Its output is one stream of bytes, numbered from 0, of which the newest are kept.

    Somebody watches, or nobody does. Output is read from the program as it comes while nobody watches; while somebody
    does, up to `let`: a program that prints more than that waits at its next write.
    """

    epoch: str  # names this stream among all there ever were
    size: Size
    over: bool  # the program has ended: nothing comes after `end`
    exit_status: int | None  # of a program that ended by itself

    @property
    def begin(self) -> int:
        """The offset of the oldest byte that is kept."""

    @property
    def end(self) -> int:
        """The offset after the newest byte of output."""

    def modes(self) -> bytes:
        """Control sequences for what the program had switched on before `begin`."""

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset` on. Raises: LookupError, if they are no longer kept or not there yet."""

    def watch(self, changed: Callable[[], None] | None) -> None:
        """Call `changed` on the loop after new output and at the end; None: nobody watches."""

    def let(self, offset: int | None) -> None:
        """Read the program's output up to about this byte while somebody watches, then let the program wait.

        None: no viewer may hold the program back, and all output is read.
        """

    def answered(self, *, by_viewers: bool) -> None:
        """Say whether a viewer's terminal answers the program's queries (as for the cursor's place); at first none."""

    async def write(self, data: bytes) -> None:
        """Type bytes, as a keyboard sends them; returns once the program's terminal took most. Raises: Busy."""

    def resize(self, size: Size) -> None:
        """Give the terminal another size, which the program is told."""

    def repaint(self) -> None:
        """Have a full-screen program draw everything again: it gets a size of one row less, then its own."""


@runtime_checkable
class ShowsTerminal(Protocol):
    """A `Backend` whose program runs on a terminal that viewers may watch and type on (docs/design/terminal.md)."""

    @property
    def terminal(self) -> Terminal:
        """The terminal; the same one for as long as the backend runs."""
