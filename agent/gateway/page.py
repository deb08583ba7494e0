"""The door of the page: a listener on the loopback for browsers of this user (T8).

Host and Origin are exact, a cookie alone opens nothing, and whoever is let in is a client like any other. What a
browser runs is in `agent/frontends/page/` and holds no secret. Source: docs/design/page.md.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import gzip
import html
import os
import re
import socket
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Self, TypeVar

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import Struct

from agent.errors import AgentError, BadParams, ConfigError, Forbidden
from agent.gateway.router import Router
from agent.gateway.routes import Caller, Route, Routes
from agent.gateway.server import ChannelMaker, opened
from agent.ports import Clock
from agent.ports.page import Login
from agent.protocol.codec import CODECS, FRAME_IN_MAX, JSON
from agent.protocol.messages import Nothing, Ready
from agent.protocol.methods import GATEWAY_READY, PAGE_LOGOUT, PAGE_OPEN
from agent.protocol.page import (
    LoggedOut,
    MayEnrol,
    OpenPage,
    PageAsks,
    PageKey,
    PageOpened,
    PageProves,
    PageWelcomed,
    ServiceKey,
    ServiceProves,
    TypedCode,
)
from agent.trust.page_logins import PageLogins
from agent.trust.rules.page_login import LOGIN_FOR, TICKET_FOR, Given, digest, is_label

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "font-src 'self'; worker-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
    "Server": "lan-agent",
}
KINDS = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
}
"""What is served, by the end of its name."""
HEAD = "<head>"
NOTE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>lan-agent</title>'
    '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"></head>'
    "<body><main><p>{}</p></main></body></html>\n"
)
"""What a person sees who asks at a wrong address."""
BODY_MAX = 4096
"""Bytes of what a browser posts."""
PORT_AGAIN = 15.0
"""Seconds after which a port that is taken is tried again."""
GREETING = 5.0
"""Seconds for the greeting of a WebSocket."""
LOGINS_TRIED = 8
"""Logins of one browser that count: each is a signature to be looked at."""
LOG_IN = 4401
"""Close code: this browser must log in again."""
AGAIN = "`agent page` opens lan-agent's page"


class Site(NamedTuple):
    """One origin at which a browser may ask for the page."""

    origin: str
    proxied: bool = False  # a proxy of the owner forwards it, with TLS in front
    earlier: bool = False  # of an earlier start of the service: only documents that are alive may come back


class Served(NamedTuple):
    """A file of the page: as it is, and packed once, as it may come through SSH or a proxy to a phone."""

    plain: bytes
    packed: bytes

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read a file of the page and pack it."""
        plain = path.read_bytes()
        return cls(plain, gzip.compress(plain, mtime=0))


SITE = web.RequestKey("site", Site)


class PageDoor:
    """Serves the page, lets browsers in, and passes their WebSockets to the router."""

    def __init__(
        self,
        *,
        own: Ready,
        logins: PageLogins,
        files: Path,
        owner_of: Callable[[asyncio.BaseTransport | None], int | None],
        clock: Clock,
        bounded: Callable[[asyncio.Protocol], asyncio.Protocol] = lambda protocol: protocol,
        allowed_hosts: Sequence[str] = (),
        plain: bool = False,
    ) -> None:
        """`owner_of`: which user has the other end of a connection, None where the system does not tell.

        `bounded` stands in front of what reads a connection. `allowed_hosts`: names under which proxies forward the
        page. `plain`: 127.0.0.1 and no name.
        """
        self._own = own
        self._logins = logins
        self._files = files
        self._owner_of = owner_of
        self._bounded = bounded
        self._allowed = tuple(host.lower() for host in allowed_hosts)
        self._plain = plain
        self._clock = clock
        self._settled = asyncio.Event()
        self._trouble: ConfigError | None = None
        self._port = 0

    @property
    def origin(self) -> str:
        """The origin of the page on this machine."""
        host = "127.0.0.1" if self._plain else f"{self._logins.label}.localhost"
        return f"http://{host}:{self._port}"

    @property
    def also(self) -> tuple[str, ...]:
        """The origins of the page behind proxies."""
        return tuple(f"https://{host}" for host in self._allowed)

    @property
    def address(self) -> str:
        """Where the page is on this machine; empty while it is not served."""
        return self.origin if self._settled.is_set() and self._trouble is None else ""

    async def opened(self) -> None:
        """Return when the page is served. Raises: ConfigError, if its port is taken."""
        await self._settled.wait()
        if self._trouble is not None:
            raise self._trouble

    async def run(
        self,
        router: Router,
        make_channel: ChannelMaker,
        bind: Callable[[], Sequence[socket.socket]],
        problem: Callable[[str], None],
        say: Callable[[str], None],
    ) -> None:
        """Serve until cancelled, once the port is free: at another one the page would not be found.

        `bind` makes the listening sockets, or raises ConfigError; `problem` takes what is wrong, empty when nothing is;
        `say` talks to whoever started the service.
        """
        while True:
            try:
                sockets = bind()
                break
            except ConfigError as exc:
                self._trouble = ConfigError(f"the page is not served: {exc}", hint="`page.port` names another port")
                problem(f"{self._trouble}; {self._trouble.hint}")
                self._settled.set()
                await self._clock.sleep(PORT_AGAIN)
        problem("")
        try:
            await self._serve(self._app(router, make_channel), sockets, say)
        finally:
            for each in sockets:
                each.close()

    async def _serve(self, app: web.Application, sockets: Sequence[socket.socket], say: Callable[[str], None]) -> None:
        self._port = int(sockets[0].getsockname()[1])
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
        await runner.setup()
        reads = runner.server
        assert reads is not None, "it is set up"
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(lambda: self._bounded(reads()), sock=each) for each in sockets]
        try:
            self._trouble = None
            self._settled.set()
            say(f"the page is at {self.origin}; `agent page` opens it, logged in")
            await self._logins.run()
        finally:
            for server in servers:
                server.close()
            await runner.cleanup()

    def _app(self, router: Router, make_channel: ChannelMaker) -> web.Application:
        app = web.Application(client_max_size=BODY_MAX, middlewares=[self._guard])
        app.on_response_prepare.append(_with_headers)
        app.router.add_post("/login", self._log_in)
        app.router.add_post("/code", self._log_in_by_code)
        app.router.add_post("/enrol", self._enrol)
        app.router.add_get("/v1/ws", partial(self._page, router, make_channel))
        app.router.add_get("/{name:.*}", self._file)
        return app

    # --- who may ask -------------------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            request[SITE] = self._site(request)
            return await handler(request)
        except AgentError as exc:
            return web.Response(text=f"{exc.in_full}\n", status=403)

    def _site(self, request: web.Request) -> Site:
        """Where a request was sent to, if it may be. Raises: HTTPException."""
        hosts = request.headers.getall("Host", [])
        site = self._site_of(hosts[0].lower()) if len(hosts) == 1 else None
        if site is None:
            raise _misdirected(request, self._elsewhere("".join(hosts)))
        if not site.proxied and self._owner_of(request.transport) not in {None, 0, os.geteuid()}:
            raise web.HTTPForbidden(text="this page is another user's\n")
        socket_wanted = request.path == "/v1/ws"
        if site.earlier and not socket_wanted:
            raise _misdirected(request, f"the service was started anew: {AGAIN}")
        origin = request.headers.get("Origin")
        if request.path == "/login":
            if origin not in {"null", site.origin}:  # a file has no origin
                raise web.HTTPForbidden(text=f"not from there: {AGAIN}\n")
        elif request.method not in {"GET", "HEAD"} or socket_wanted:
            if origin != site.origin:
                why = "the proxy in front must pass on Origin" if origin is None and site.proxied else AGAIN
                raise web.HTTPForbidden(text=f"not from there: {why}\n")
        elif request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
            raise web.HTTPForbidden(text=f"not from another page: {AGAIN}\n")
        return site

    def _sites(self) -> dict[str, Site]:
        sites = (Site(self.origin), *(Site(origin, proxied=True) for origin in self.also))
        return {site.origin.partition("://")[2]: site for site in sites}

    def _site_of(self, host: str) -> Site | None:
        label, _, rest = host.partition(".")
        if is_label(label) and rest == f"localhost:{self._port}" and label != self._logins.label:
            return Site(f"http://{host}", earlier=True)  # whose login may be over: its documents are told so
        return self._sites().get(host)

    def _elsewhere(self, host: str) -> str:
        name, _, port = host.lower().rpartition(":")
        name = name or port
        if name not in {"127.0.0.1", "[::1]", "localhost"} and not name.endswith(".localhost"):
            return f"{AGAIN}; a proxy must pass on Host, which `page.allowed_hosts` has to name"
        if port != str(self._port):
            forward = f"-L {self._port}:127.0.0.1:{self._port}"
            return f"forward this port as the same port: `ssh {forward} HOST`; then {AGAIN}"
        return AGAIN

    def _cookie_name(self, token: str) -> str:
        # Each login has a cookie of its own: one that is made in another window ends none before it.
        return f"{self._cookie_prefix}{digest(token)[:8]}"

    @property
    def _cookie_prefix(self) -> str:
        return f"lan_agent_{self._port}_"

    def _logins_of(self, request: web.Request) -> dict[str, Login]:
        """The logins of a browser, by the names of their cookies."""
        mine = ((name, value) for name, value in request.cookies.items() if name.startswith(self._cookie_prefix))
        found = ((name, self._logins.find(value, request[SITE].origin)) for name, value in mine)
        known = [(name, login) for name, login in found if login is not None]
        return dict(known[-LOGINS_TRIED:])

    # --- what a browser gets -----------------------------------------------------------------------------------------

    @cached_property
    def _served(self) -> dict[str, Served]:
        # All with the first one: half of a page from before an upgrade, and half from after it, works in neither.
        return {
            f"/{path.relative_to(self._files).as_posix()}": Served.of(path)
            for path in self._files.rglob("*")
            if path.suffix in KINDS and path.is_file()
        }

    async def _file(self, request: web.Request) -> web.StreamResponse:
        path = "/index.html" if request.path == "/" else request.path
        if path not in self._served:
            raise web.HTTPNotFound(text="there is no such file\n")
        served = self._served[path]
        packed = "gzip" in request.headers.get("Accept-Encoding", "")
        response = web.Response(body=served.packed if packed else served.plain)
        response.content_type, response.charset = KINDS[PurePosixPath(path).suffix], "utf-8"
        if packed:
            response.headers["Content-Encoding"] = "gzip"
        return response

    async def _log_in(self, request: web.Request) -> web.Response:
        # Not aiohttp's reader of forms: it takes kinds that nobody posts, and fails at those that are malformed.
        form = urllib.parse.parse_qs((await request.read()).decode("latin-1"))
        given = self._logins.redeem_ticket(form.get("ticket", [""])[0], request[SITE].origin)
        # The page itself, at the address of the form: what lets it name its key is in no address.
        shell = self._served["/index.html"].plain.decode()
        text = shell.replace(HEAD, f'{HEAD}<meta name="enrol" content="{given.enrol}">', 1)
        return self._with_cookie(web.Response(text=text, content_type="text/html"), given, request)

    async def _log_in_by_code(self, request: web.Request) -> web.Response:
        asked = await _body(request, TypedCode)
        given = self._logins.redeem_code(asked.code, request[SITE].origin)
        return self._with_cookie(_json(MayEnrol(token=given.enrol)), given, request)

    async def _enrol(self, request: web.Request) -> web.Response:
        asked = await _body(request, PageKey)
        key = _bytes(asked.key)
        cookie = request.cookies.get(self._cookie_name(asked.token), "")
        service, resume = self._logins.enrol(cookie, asked.token, key, request[SITE].origin)
        response = _json(ServiceKey(key=_base64(service), resume=resume))
        for name in request.cookies.keys() - self._logins_of(request).keys():
            if name.startswith(self._cookie_prefix):
                response.del_cookie(name)
        return response

    def _with_cookie(self, response: web.Response, given: Given, request: web.Request) -> web.Response:
        response.set_cookie(
            self._cookie_name(given.enrol),
            given.cookie,
            max_age=int(LOGIN_FOR),
            path="/",
            httponly=True,
            samesite="Strict",
            secure=request[SITE].proxied,  # Safari drops such a cookie of plain http
        )
        return response

    async def _page(self, router: Router, make_channel: ChannelMaker, request: web.Request) -> web.StreamResponse:
        logins = self._logins_of(request)
        ws = web.WebSocketResponse(
            protocols=(JSON,), autoping=False, compress=False, max_msg_size=FRAME_IN_MAX, timeout=1.0
        )
        if not await opened(ws, request):
            return web.Response()  # to nobody; aiohttp would end a socket that never was one
        login = None
        try:
            if ws.ws_protocol == JSON and logins:
                login = await self._greeted(ws, request[SITE].origin, logins.values())
        except (TimeoutError, ConnectionError):  # one of the two slept or hung: that says nothing of the login
            await ws.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"no greeting in time")
            return ws
        if login is None:
            await ws.close(code=LOG_IN, message=b"log in")
            return ws
        channel = make_channel(ws, CODECS[JSON], device=None, transport=request.transport)
        router.pages.add(channel)
        channel.notify(GATEWAY_READY, self._own)
        with self._logins.connected(login, channel):
            await channel.run(router)
        return ws

    async def _greeted(self, ws: web.WebSocketResponse, origin: str, logins: Iterable[Login]) -> Login | None:
        """Of which of the logins the other side is a page, None if of none; the service proves itself first.

        Raises: TimeoutError, ConnectionError.
        """
        try:
            async with asyncio.timeout(GREETING):
                asks = await _frame(ws, PageAsks)
                greeting = self._logins.greet(origin, asks.nonce)
                await _tell(ws, ServiceProves(nonce=greeting.nonce, signature=_base64(greeting.signature)))
                proves = await _frame(ws, PageProves)
                signature = _bytes(proves.signature)
                for login in logins:
                    if self._logins.believes(login, greeting, asks.nonce, signature, proves.resume):
                        await _tell(ws, PageWelcomed(resume=login.resume))
                        return login
        except BadParams:
            pass
        return None


class PageHandlers:
    """Answers `page.open` and `page.logout` of the own user's commands; without a door the page is switched off."""

    def __init__(self, logins: PageLogins, door: PageDoor | None) -> None:
        self._logins, self._door = logins, door

    def routes(self) -> Routes:
        """List the handlers, each with its method."""
        return Route(PAGE_OPEN, self.open), Route(PAGE_LOGOUT, self.log_out)

    async def open(self, request: OpenPage, caller: Caller) -> PageOpened:
        """Offer a login. Raises: Forbidden, also to a page: a login must not renew itself; ConfigError, StateError."""
        if self._logins.is_page(caller.channel):
            raise Forbidden("a page opens no other one", hint="run `agent page`")
        if self._door is None:
            raise Forbidden("the page is switched off here", hint="`page.enabled = true` in config.toml")
        await self._door.opened()
        url, also = self._door.origin, self._door.also
        if request.code:
            return PageOpened(url=url, ttl=TICKET_FOR, code=self._logins.offer_code(), also=also)
        return PageOpened(url=url, ttl=TICKET_FOR, file=self._logins.offer_ticket(url), also=also)

    async def log_out(self, request: Nothing, caller: Caller) -> LoggedOut:  # noqa: ARG002 - as every handler
        """End every login of the page."""
        return LoggedOut(logins=self._logins.log_out())


def _misdirected(request: web.Request, said: str) -> web.HTTPMisdirectedRequest:
    # `said` has nothing of the request in it.
    if "text/html" not in request.headers.get("Accept", ""):
        return web.HTTPMisdirectedRequest(text=f"{said}\n")
    shown = re.sub("`(.+?)`", r"<code>\1</code>", html.escape(said, quote=False))
    return web.HTTPMisdirectedRequest(text=NOTE.format(shown), content_type="text/html")


async def _with_headers(request: web.Request, response: web.StreamResponse) -> None:  # noqa: ARG001 - as aiohttp wants
    response.headers.update(HEADERS)


async def _body(request: web.Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (ValueError, RecursionError) as exc:
        raise BadParams("that is not what this takes") from exc


async def _frame(ws: web.WebSocketResponse, kind: type[T]) -> T:
    while (message := await ws.receive()).type in {WSMsgType.PING, WSMsgType.PONG}:
        pass
    if message.type is not WSMsgType.TEXT:
        raise BadParams("a greeting is text")
    try:
        return msgspec.json.decode(message.data, type=kind)
    except (ValueError, RecursionError) as exc:
        raise BadParams("that is no greeting") from exc


async def _tell(ws: web.WebSocketResponse, what: Struct) -> None:
    await ws.send_str(msgspec.json.encode(what).decode())


def _json(what: Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(what), content_type="application/json")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadParams("that is not base64") from exc
