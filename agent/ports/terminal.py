"""What a backend may offer beside `Backend`: the terminal that its program runs on, to be shown and typed on."""

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
        """The oldest byte that is kept."""

    @property
    def end(self) -> int:
        """One past the newest."""

    def modes(self) -> bytes:
        """Control sequences for what the program had switched on before `begin`."""

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset` on. Raises: LookupError, if they are not kept any more or not there yet."""

    def watch(self, changed: Callable[[], None] | None) -> None:
        """Call `changed` on the loop after new output and at the end; None: nobody watches."""

    def let(self, offset: int | None) -> None:
        """While somebody watches: read what the program prints up to about this byte, then let it wait.

        None: nobody who watches has a say in that, it is read as if nobody did.
        """

    def answered(self, *, by_viewers: bool) -> None:
        """Whether a viewer's terminal answers when the program asks (for the cursor's place, say); at first none."""

    async def write(self, data: bytes) -> None:
        """Type bytes, as a keyboard sends them; returns once the program's terminal took most. Raises: Busy."""

    def resize(self, size: Size) -> None:
        """Give it another size, which the program is told."""

    def repaint(self) -> None:
        """Have a full-screen program draw everything again: it is told of one row less, then of its size."""


@runtime_checkable
class ShowsTerminal(Protocol):
    """A `Backend` whose program runs on a terminal that viewers may watch and type on (docs/design/terminal.md)."""

    @property
    def terminal(self) -> Terminal:
        """The terminal; the same one for as long as the backend runs."""
