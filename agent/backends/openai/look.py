"""A look at a place on this machine where a server of models may be: quick, read-only, and only when wanted."""

from __future__ import annotations

import asyncio

import aiohttp

from agent.backends.openai.client import page_of
from agent.backends.openai.servers import Seen, Spot
from agent.errors import BackendFailed

SECONDS = 0.3
"""For all that is asked of one server."""
PAGE_MAX = 262_144
"""Bytes of an answer."""


async def look(spot: Spot) -> Seen | None:
    """The server, if it is there and answers exactly as itself. No key and no cookie is sent. Raises nothing."""
    pages: dict[str, bytes] = {}
    try:
        async with (
            asyncio.timeout(SECONDS),
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        ):
            for path in spot.known.paths:
                async with session.get(f"{spot.root}{path}", allow_redirects=False) as response:
                    pages[path] = await page_of(response, PAGE_MAX)
                    if response.status != 200:
                        return None
    except (aiohttp.ClientError, OSError, ValueError, BackendFailed):  # a TimeoutError is an OSError
        return None
    return spot.known.read(pages)
