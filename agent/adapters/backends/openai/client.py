"""Speaks HTTP to a server: lists of models, and one streamed completion. Imported when a server is asked, not before.

No proxy, cookie or redirect has a part in it: a key goes to the host that the settings name and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import msgspec

from agent.adapters.backends.openai.address import ServerAddress
from agent.adapters.backends.openai.chunks import WORDS_IN, Chunk, ChunkReader, ServerFault, words_of
from agent.adapters.backends.openai.servers import SeenServer, ServerSpot, models_of
from agent.errors import BackendFailed
from agent.protocol.lenient import read

CONNECT = 5.0
"""Seconds to connect."""
SILENCE = 300.0
"""Seconds without a byte: a large model may have to be loaded first."""
PAGE_MAX = 1_048_576
"""Bytes of an answer that is not streamed."""
_OVERFLOW = re.compile(r"(?i)context.{0,12}(length|size|window)|exceeds? the.{0,20}context|n_ctx|too many tokens")

PROBE_MAX = 262_144
"""Bytes of an answer to a probe."""


async def page_of(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Read a whole answer. Raises: BackendFailed, if it is longer than that."""
    page = b""
    async for data in response.content.iter_any():
        page += data
        if len(page) > most:
            raise BackendFailed(f"an answer of more than {most:,} bytes")
    return page


async def beginning_of(response: aiohttp.ClientResponse) -> bytes:
    """Read as much of an answer as may have words for a person, whatever comes of the rest."""
    page = b""
    with contextlib.suppress(aiohttp.ClientError, OSError):
        async for data in response.content.iter_any():
            page += data
            if len(page) >= WORDS_IN:
                break
    return page


class TooLong(BackendFailed):
    """What was sent is more than the model takes."""


class NoUsage(BackendFailed):
    """The server does not know `stream_options`."""


class StreamedReply:
    """A completion as it is streamed; whoever has one must `close` it. `read` says what has come."""

    def __init__(self, opened: AsyncExitStack, response: aiohttp.ClientResponse) -> None:
        self._opened = opened
        self._response = response
        self._broke: Exception | None = None  # told when all that came before it is read
        self.read = ChunkReader()

    async def more(self) -> list[Chunk]:
        """The messages that have come meanwhile; none: it has ended. Raises: aiohttp's errors."""
        chunks: list[Chunk] = []
        while not chunks and not self.read.done and (data := await self._data()):
            chunks = self.read.feed(data)
        return chunks or self.read.end()

    async def _data(self) -> bytes:
        if self._broke is not None:
            raise self._broke
        content = self._response.content
        try:
            return await content.readany()
        except (aiohttp.ClientError, OSError) as exc:
            self._broke = exc
            if not (left := content._read_nowait(-1)):  # noqa: SLF001 - text that came before, else lost
                raise
            return left

    def hang_up(self) -> None:
        """Break the connection, which tells the server to stop; whoever waits for more gets an error."""
        self._response.close()

    async def close(self) -> None:
        """Hang up, and leave nothing open."""
        self.hang_up()
        await self._opened.aclose()


class ServerClient:
    """A client of one server. Its errors name the backend, not the address: they are told to other devices."""

    def __init__(self, address: ServerAddress, environ: Mapping[str, str], *, silence: float = SILENCE) -> None:
        """`environ` is where the key may be. `silence`: seconds without a byte, after which a server is given up."""
        self.address = address
        self._environ = environ
        self._silence = silence

    async def models(self, seconds: float) -> SeenServer | None:
        """The answer to `GET /models`; None if that is no list. Raises: BackendFailed, TimeoutError."""
        async with asyncio.timeout(seconds), self._session() as session:
            try:
                async with session.get(f"{self.address.url}/models", allow_redirects=False) as response:
                    if response.status in {401, 403}:
                        raise self._refusal(response.status, await beginning_of(response))
                    return models_of(await page_of(response, PAGE_MAX)) if response.status == 200 else None
            except (aiohttp.ClientError, OSError) as exc:
                if isinstance(exc, TimeoutError):
                    raise
                raise self.broken(exc) from exc

    async def chat(self, body: dict[str, Any]) -> StreamedReply:
        """Ask for a completion. Raises: BackendFailed (TooLong, NoUsage), aiohttp's errors, OSError."""
        async with AsyncExitStack() as opened:
            session = await opened.enter_async_context(self._session())
            response = await session.post(f"{self.address.url}/chat/completions", json=body, allow_redirects=False)
            if response.status != 200:
                page = await beginning_of(response)
                response.close()
                raise self._refusal(response.status, page)
            return StreamedReply(opened.pop_all(), response)

    def _session(self) -> aiohttp.ClientSession:
        headers = {"Accept-Encoding": "identity"}
        if key := self.address.key(self._environ):
            headers["Authorization"] = f"Bearer {key}"
        return aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=self._silence),
            cookie_jar=aiohttp.DummyCookieJar(),
            json_serialize=lambda value: msgspec.json.encode(value).decode(),
        )

    # --- what went wrong ---------------------------------------------------------------------------------------------

    def broken(self, error: BaseException) -> BackendFailed:  # noqa: PLR0911 - one return a kind of error
        """The error to tell for a connection that failed."""
        name = self.address.name
        if isinstance(error, BackendFailed):
            return error
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return BackendFailed(f"{name}: its host is not found", hint="correct its url in config.toml")
        if isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError):
            return BackendFailed(f"{name}: its certificate is not trusted", hint="see its url in config.toml")
        if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno == errno.ECONNREFUSED:
            hint = f"start it, or correct its url; {HERE}"
            return BackendFailed(f"{name} does not answer: connection refused", hint=hint)
        if isinstance(error, TimeoutError):
            waited = f"{CONNECT:g} s" if isinstance(error, aiohttp.ConnectionTimeoutError) else f"{self._silence:g} s"
            return BackendFailed(f"{name} said nothing for {waited}", hint="see whether it is stuck, or too slow")
        if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ClientResponseError) and "encoding" in str(error):
            hint = "switch compression off in that server, or in the proxy before it"
            return BackendFailed(f"{name} answers compressed, which was not asked for", hint=hint)
        return BackendFailed(f"{name}: the connection broke", hint="send it again; see that server's log")

    def fault(self, fault: ServerFault) -> BackendFailed:
        """The error to tell for one that the server told: in its own words, in one line, without the key."""
        said = self.without_key(fault.words)
        if _OVERFLOW.search(f"{fault.code} {fault.type} {said}"):
            return TooLong(f"{self.address.name}: more than the model takes: {said}", hint="start another session")
        return BackendFailed(f"{self.address.name}: {said or 'an error without a word'}", hint="see that server's log")

    def without_key(self, words: str) -> str:
        """Words of the server without the key that is sent to it."""
        try:
            key = self.address.key(self._environ)
        except BackendFailed:
            return words
        return words.replace(key, "…") if key else words

    def _refusal(self, status: int, page: bytes) -> BackendFailed:
        name = self.address.name
        chunk = read(page, Chunk) or Chunk()
        words = self.without_key(words_of(page))
        told = f": {words}" if words else ""
        if status in {401, 403}:
            hint = "set key_env or key_file of that backend in config.toml"
            return BackendFailed(f"{name} refuses the key, or wants one{told}", hint=hint)
        if status in {400, 422} and b"stream_options" in page:
            return NoUsage(f"{name} does not know stream_options")
        if 300 <= status < 400:
            return BackendFailed(f"{name} sends us elsewhere", hint="correct its url in config.toml")
        if status == 429:
            return BackendFailed(f"{name} has no time for us now (429){told}", hint="send it again later")
        if (fault := chunk.fault) is not None and fault.words:
            return self.fault(fault)
        return BackendFailed(
            f"{name} answered with HTTP status {status}{told}", hint="see that server's log, and its url"
        )


HERE = "`agent backends` on that device shows where it should be"


async def probe(spot: ServerSpot, seconds: float) -> SeenServer | None:
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
                    pages[path] = await page_of(response, PROBE_MAX)
                    if response.status != 200:
                        return None
    except (aiohttp.ClientError, OSError, ValueError, BackendFailed):  # a TimeoutError is an OSError
        return None
    return spot.known.read(pages)
