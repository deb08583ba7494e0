"""A look at a place on this machine where a server of models may be: quick, read-only, and only when wanted."""

from __future__ import annotations

import asyncio

import aiohttp

from agent.adapters.backends.openai.client import page_of
from agent.adapters.backends.openai.servers import Seen, Spot
from agent.errors import BackendFailed

PAGE_MAX = 262_144
"""Bytes of an answer."""


async def look(spot: Spot, seconds: float) -> Seen | None:
    """The server, if it is there and answers exactly as itself within that time.

    No key and no cookie is sent. Raises nothing.
    """
    pages: dict[str, bytes] = {}
    try:
        async with (
            asyncio.timeout(seconds),
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
