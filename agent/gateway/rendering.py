"""Answers `page.render`: texts as trees for pages in a browser, each made once and away from the event loop.

How a tree is made is `ports.rendering`'s; what a page may ask for at once, the types of `protocol.page`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from hashlib import sha256

import msgspec
from msgspec import Raw

from agent.errors import TooLarge
from agent.gateway.routes import Caller, Route, Routes
from agent.ports.rendering import Markdown
from agent.protocol.methods import PAGE_RENDER
from agent.protocol.page import RENDER_MAX, Render, Rendered

CACHE_MAX = 4_194_304
"""Bytes of trees that are remembered."""
QUICK_MAX = 2_048
"""Characters that are read at once; 2 ms for each 1,000 is too long to wait for on the event loop."""


class RenderHandlers:
    """Makes trees, one request at a time, and remembers those that were asked for last."""

    def __init__(self, markdown: Markdown) -> None:
        """Nothing is read or imported before the first request."""
        self._markdown = markdown
        self._trees: OrderedDict[bytes, Raw] = OrderedDict()  # by digest of the text, the one used last at the end
        self._bytes = 0
        self._warm = False
        self._one = asyncio.Lock()

    def routes(self) -> Routes:
        """List the handler with its method."""
        return (Route(PAGE_RENDER, self.render),)

    async def render(self, request: Render, caller: Caller) -> Rendered:  # noqa: ARG002 - as every handler
        """One tree for each text. Raises: TooLarge."""
        if sum(map(len, request.texts)) > RENDER_MAX:
            raise TooLarge(f"more than {RENDER_MAX:,} characters at once", hint="ask for fewer texts")
        async with self._one:
            digests = [sha256(text.encode()).digest() for text in request.texts]
            missing = {each: text for each, text in zip(digests, request.texts, strict=True) if each not in self._trees}
            if self._warm and sum(map(len, missing.values())) <= QUICK_MAX:
                made = self._made(missing)
            else:
                made = await asyncio.to_thread(self._made, missing)
                self._warm = True
            trees = tuple(made.get(each) or self._trees[each] for each in digests)
            self._remember(digests, made)
        return Rendered(trees=trees)

    def _made(self, texts: dict[bytes, str]) -> dict[bytes, Raw]:
        return {digest: Raw(msgspec.msgpack.encode(self._markdown.tree(text))) for digest, text in texts.items()}

    def _remember(self, used: list[bytes], made: dict[bytes, Raw]) -> None:
        self._trees.update(made)
        self._bytes += sum(map(len, made.values()))
        for digest in used:
            self._trees.move_to_end(digest)
        while self._bytes > CACHE_MAX:
            _, oldest = self._trees.popitem(last=False)
            self._bytes -= len(oldest)
