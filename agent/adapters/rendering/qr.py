"""QR codes, as rows of modules that a terminal or a page draws."""

from __future__ import annotations

import asyncio


async def modules(text: str) -> tuple[str, ...]:
    """The QR code of a text: rows of `1` (dark) and `0`, without the light border that it needs around it."""
    return await asyncio.to_thread(_modules, text)


def _modules(text: str) -> tuple[str, ...]:
    import segno  # noqa: PLC0415 - not before a code is drawn: the service starts without it

    code = segno.make(text, error="l", micro=False)
    return tuple("".join("1" if module & 1 else "0" for module in row) for row in code.matrix)
