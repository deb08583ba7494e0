"""gateway.page: the page's door on a real loopback socket, and what no other page, user or port gets from it (T8)."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import aiohttp
import msgspec
import pytest
from aiohttp import web
from msgspec import Raw

from agent.adapters.net.accept import bind
from agent.adapters.net.link import WebSocketChannel
from agent.adapters.rendering.markdown import MarkdownTrees
from agent.errors import ConfigError, Forbidden
from agent.gateway.kept import KeepHandlers
from agent.gateway.page import LOG_IN, LOGINS_TRIED, POLICY, PageDoor, PageHandlers
from agent.gateway.rendering import RenderHandlers
from agent.gateway.routes import Caller
from agent.ports import Channel
from agent.protocol.codec import JSON, Codec
from agent.protocol.messages import Ready
from agent.protocol.model import DeviceId
from agent.protocol.page import OpenPage
from agent.tasks import child
from agent.trust.page_logins import PageLogins
from tests.fakes.gateways import Device, network
from tests.fakes.page import BrowserKey, MemoryPageFiles, MemoryValues
from tests.fakes.websocket import channel, pair

INDEX = "<!doctype html><html><head><title>lan-agent</title></head><body></body></html>"


class Browser:
    """One browser at one door; it says of a request what a real one would, unless it is told otherwise."""

    def __init__(self, session: aiohttp.ClientSession, door: PageDoor, origin: str = "") -> None:
        self.session, self.door = session, door
        self.origin = origin or door.origin
        self.port = int(door.origin.rpartition(":")[2])
        self.cookie = ""
        self.key = BrowserKey(self.origin)

    def headers(self, **more: str | None) -> dict[str, str]:
        said: dict[str, str | None] = {"Host": self.origin.partition("://")[2]}
        if self.cookie:
            said["Cookie"] = self.cookie
        said |= {name.replace("_", "-"): value for name, value in more.items()}
        return {name: value for name, value in said.items() if value is not None}

    async def get(self, path: str = "/", **headers: str | None) -> tuple[int, str]:
        async with self.session.get(self._url(path), headers=self.headers(**headers)) as answer:
            return answer.status, await answer.text()

    async def post(self, path: str, data: object, **headers: str | None) -> tuple[int, str]:
        said = self.headers(**{"Origin": self.origin, **headers})
        body = data if isinstance(data, dict) else json.dumps(data)
        if isinstance(data, dict) and path != "/login":
            body = json.dumps(data)
        async with self.session.post(self._url(path), data=body, headers=said) as answer:
            if "Set-Cookie" in answer.headers:
                self.set_cookie = answer.headers["Set-Cookie"]
                self.cookie = self.set_cookie.partition(";")[0]
            return answer.status, await answer.text()

    async def log_in(self, ticket: str) -> int:
        status, text = await self.post("/login", {"ticket": ticket}, Origin="null", Sec_Fetch_Site="cross-site")
        found = re.search(r'<meta name="enrol" content="(\w+)">', text)
        if found:
            assert await self.enrol(found[1]) == 200
        return status

    async def enrol(self, token: str) -> int:
        key = base64.b64encode(self.key.public).decode()
        status, text = await self.post("/enrol", {"token": token, "key": key})
        if status == 200:
            told = json.loads(text)
            self.key.service, self.key.resume = base64.b64decode(told["key"]), told["resume"]
        return status

    @asynccontextmanager
    async def socket(self, **headers: str | None) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        said = self.headers(**{"Origin": self.origin, **headers})
        url = self._url("/v1/ws")
        async with self.session.ws_connect(url, headers=said, protocols=(JSON,)) as ws:
            yield ws

    async def greet(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        await self.key.greet(ws.send_json, ws.receive_json)

    async def close_code(self, **headers: str | None) -> int | None:
        """Greet and close; the code by which the service closed, None if it let the page in."""
        async with self.socket(**headers) as ws:
            try:
                await self.greet(ws)
            except TypeError:  # what came was no text
                return ws.close_code
            assert (await ws.receive_json())["method"] == "gateway.ready"
            return None

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


class Desk:
    """A device with a page, which can be started anew."""

    def __init__(self, device: Device, files: Path, session: aiohttp.ClientSession) -> None:
        self.device, self.files, self.session = device, files, session
        self.store = MemoryPageFiles()
        self.owner: int | None = os.geteuid()
        self.port = 0
        self.problems: list[str] = []
        self.said: list[str] = []

    @asynccontextmanager
    async def served(self, **options: Any) -> AsyncIterator[PageDoor]:
        async with self.trying(**options) as door:
            await door.opened()
            self.port = int(door.origin.rpartition(":")[2])
            yield door

    @asynccontextmanager
    async def trying(self, **options: Any) -> AsyncIterator[PageDoor]:
        """The door as it begins: its port may be taken."""
        self.logins = PageLogins(secrets.token_hex(4), self.store, self.device.net.clock, secrets.token_bytes)
        door = PageDoor(
            own=Ready(device=self.device.id, name="desk", version="1", port=1000),
            logins=self.logins,
            files=self.files,
            owner_of=lambda _: self.owner,
            clock=self.device.net.clock,
            **options,
        )
        self.handlers = PageHandlers(self.logins, door)
        async with asyncio.TaskGroup() as group:
            listen = partial(bind, self.port, ("127.0.0.1",))
            running = child(
                group,
                door.run(self.device.router, self._channel, listen, self.problems.append, self.said.append),
                "test.page",
            )
            try:
                yield door
            finally:
                running.cancel()

    def ticket(self, door: PageDoor, origin: str = "") -> str:
        path = self.logins.offer_ticket(origin or door.origin)
        found = re.search(r'name="ticket" value="(\w+)"', self.store.tickets[path])
        assert found
        return found[1]

    def _channel(
        self, ws: web.WebSocketResponse, codec: Codec, *, device: DeviceId | None, transport: asyncio.Transport | None
    ) -> Channel:
        cut = transport.abort if transport else None
        return WebSocketChannel(ws, codec, clock=self.device.net.clock, device=device, cut=cut)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    (tmp_path / "index.html").write_text(INDEX)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "one.js").write_text("{}")
    (tmp_path / "notes.txt").write_text("not for browsers")
    async with AsyncExitStack() as stack:
        _, (device,) = await stack.enter_async_context(network("desk"))
        session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        yield Desk(device, tmp_path, session)


@pytest.fixture
async def door(desk: Desk) -> AsyncIterator[PageDoor]:
    async with desk.served() as door:
        yield door


@pytest.fixture
async def browser(desk: Desk, door: PageDoor) -> Browser:
    browser = Browser(desk.session, door)
    assert await browser.log_in(desk.ticket(door)) == 200
    return browser


async def test_who_opens_the_ticket_has_the_page_and_is_a_client_of_this_device(browser: Browser) -> None:
    async with browser.socket() as ws:
        await browser.greet(ws)
        assert (await ws.receive_json())["params"]["name"] == "desk"
        await ws.send_json({"jsonrpc": "2.0", "id": 1, "method": "peer.list", "params": {}})
        assert [peer["name"] for peer in (await ws.receive_json())["result"]] == ["desk"]


async def test_the_shell_and_its_files_are_public_and_nothing_else_of_the_folder_is(desk: Desk, door: PageDoor) -> None:
    browser = Browser(desk.session, door)
    assert await browser.get("/") == (200, INDEX)
    assert await browser.get("/parts/one.js") == (200, "{}")
    for path in ("/notes.txt", "/../test_page.py", "/%2e%2e/x", "/parts", "/parts/", "//etc/passwd"):
        assert (await browser.get(path))[0] == 404, path


async def test_every_answer_has_the_policy_and_is_for_this_origin_only(desk: Desk, door: PageDoor) -> None:
    browser = Browser(desk.session, door)
    for path, host in (("/", None), ("/none", None), ("/", "rebound.test:7480")):
        said = browser.headers() if host is None else browser.headers(Host=host)
        async with desk.session.get(browser._url(path), headers=said) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "require-trusted-types-for 'script'; trusted-types 'none'" in policy
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert answer.headers["Cache-Control"] == "no-store"


async def test_the_cookie_is_for_this_host_and_no_script_and_no_other_site(browser: Browser) -> None:
    assert "HttpOnly" in browser.set_cookie
    assert "SameSite=Strict" in browser.set_cookie
    assert "Max-Age=43200" in browser.set_cookie
    assert "Domain" not in browser.set_cookie
    assert "Secure" not in browser.set_cookie


@pytest.mark.parametrize(
    "host", ["rebound.test:{port}", "localhost:{port}", "127.0.0.1:{port}", "{label}.localhost", ""]
)
async def test_a_name_that_is_not_ours_gets_nothing(host: str, desk: Desk, door: PageDoor) -> None:
    browser = Browser(desk.session, door)
    named = host.format(port=browser.port, label=desk.logins.label)
    for path in ("/", "/parts/one.js", "/favicon.ico", "/v1/ws"):
        status, text = await browser.get(path, Host=named)
        assert status == 421
        assert "agent page" in text
    assert (await browser.post("/login", {"ticket": desk.ticket(door)}, Host=named))[0] == 421


@pytest.mark.parametrize("host", ["{label}.localhost:9", "127.0.0.1:9", "[::1]:9", "localhost"])
async def test_another_port_forwarded_by_ssh_is_told_to_be_the_same(host: str, desk: Desk, door: PageDoor) -> None:
    status, text = await Browser(desk.session, door).get(Host=host.format(label=desk.logins.label))
    assert (status, f"-L {desk.port}:127.0.0.1:{desk.port}" in text) == (421, True)


async def test_a_proxy_whose_name_is_not_allowed_is_told_the_setting(desk: Desk, door: PageDoor) -> None:
    for host in ("desk.example.ts.net", "desk.example.ts.net:8443"):
        status, text = await Browser(desk.session, door).get(Host=host)
        assert (status, "page.allowed_hosts" in text, "ssh" in text) == (421, True, False)


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded; charset=x", "multipart/form-data", 'a/b; c="'])
@pytest.mark.parametrize("body", ["ticket=%zz%ff", "--x\r\n", "&&=;", "ticket", ""])
async def test_t11_a_form_of_any_shape_is_refused(kind: str, body: str, desk: Desk, door: PageDoor) -> None:
    browser = Browser(desk.session, door)
    headers = browser.headers(Origin="null", Content_Type=kind)
    async with desk.session.post(browser._url("/login"), data=body, headers=headers) as answer:
        assert (answer.status, "agent page" in await answer.text()) == (403, True)


async def test_a_page_is_of_one_version_though_the_package_is_replaced_under_it(desk: Desk, door: PageDoor) -> None:
    browser = Browser(desk.session, door)
    assert await browser.get("/parts/one.js") == (200, "{}")
    (desk.files / "index.html").write_text("another")
    (desk.files / "new.js").write_text("")
    assert await browser.get("/") == (200, INDEX)
    assert (await browser.get("/new.js"))[0] == 404


async def test_files_are_packed_for_whoever_takes_them_so(desk: Desk, door: PageDoor) -> None:
    browser = Browser(desk.session, door)
    for encoding in ("gzip", "identity"):
        async with desk.session.get(browser._url("/"), headers=browser.headers(Accept_Encoding=encoding)) as answer:
            assert answer.headers.get("Content-Encoding", "identity") == encoding
            assert await answer.text() == INDEX


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_another_page_gets_no_file(site: str, browser: Browser) -> None:
    assert [(await browser.get(path, Sec_Fetch_Site=site))[0] for path in ("/", "/parts/one.js")] == [403, 403]


@pytest.mark.parametrize(
    "origin", [None, "null", "http://127.0.0.1:9", "https://{host}", "http://evil.test", "file://"]
)
async def test_another_page_gets_no_websocket_though_the_browser_adds_the_cookie(
    origin: str | None, browser: Browser
) -> None:
    said = origin and origin.format(host=browser.origin.partition("://")[2])
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with browser.socket(Origin=said):
            pass
    assert caught.value.status == 403


@pytest.mark.parametrize("path", ["/login", "/code", "/enrol"])
async def test_another_page_posts_nothing(path: str, desk: Desk, door: PageDoor, browser: Browser) -> None:
    for origin in ("http://evil.test", "http://127.0.0.1:9", None):
        assert (await browser.post(path, {"ticket": desk.ticket(door)}, Origin=origin))[0] == 403
    if path != "/login":
        assert (await browser.post(path, {}, Origin="null"))[0] == 403


async def test_a_ticket_is_good_once_and_for_a_minute(desk: Desk, door: PageDoor) -> None:
    ticket = desk.ticket(door)
    assert await Browser(desk.session, door).log_in(ticket) == 200
    assert desk.store.tickets == {}
    assert await Browser(desk.session, door).log_in(ticket) == 403
    late = desk.ticket(door)
    await desk.device.net.clock.advance(60.0)
    assert await Browser(desk.session, door).log_in(late) == 403
    assert desk.store.tickets == {}  # and its file is gone


async def test_a_cookie_without_the_key_opens_nothing(desk: Desk, door: PageDoor, browser: Browser) -> None:
    # Cookies ignore ports: any server of this host may have been sent it.
    thief = Browser(desk.session, door)
    thief.cookie, thief.key.service = browser.cookie, browser.key.service
    assert await thief.close_code() == LOG_IN
    assert await thief.enrol("0" * 64) == 403
    assert await browser.close_code() is None


async def test_the_key_without_the_cookie_opens_nothing(desk: Desk, door: PageDoor, browser: Browser) -> None:
    browser.cookie = ""
    async with browser.socket() as ws:
        assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE
        assert ws.close_code == LOG_IN


async def test_a_second_login_in_a_browser_ends_none_before_it(desk: Desk, door: PageDoor, browser: Browser) -> None:
    # `agent page` was run twice: a window of each is open, and all cookies go with every request.
    first, other = browser.cookie, Browser(desk.session, door)
    await other.log_in(desk.ticket(door))
    browser.cookie = other.cookie = f"{first}; {other.cookie}"
    assert [await each.close_code() for each in (browser, other)] == [None, None]


async def test_cookies_of_logins_that_are_over_are_deleted_with_the_next_login(
    desk: Desk, door: PageDoor, browser: Browser
) -> None:
    name = browser.cookie.partition("=")[0]
    other = Browser(desk.session, door)
    _, text = await other.post("/login", {"ticket": desk.ticket(door)}, Origin="null")
    other.cookie = f"{name}=over; {other.cookie}"
    assert await other.enrol(text.partition('content="')[2].partition('"')[0]) == 200
    assert other.set_cookie.startswith(f'{name}=""; expires=Thu, 01 Jan 1970')


async def test_a_browser_with_many_logins_has_its_newest_ones_tried(desk: Desk, door: PageDoor) -> None:  # T11
    browsers = [Browser(desk.session, door) for _ in range(LOGINS_TRIED + 1)]
    for each in browsers:
        assert await each.log_in(desk.ticket(door)) == 200
    cookies = "; ".join(each.cookie for each in browsers)
    for each in browsers:
        each.cookie = cookies
    assert [await each.close_code() for each in browsers] == [LOG_IN, *[None] * LOGINS_TRIED]


async def test_the_key_is_named_once(desk: Desk, door: PageDoor) -> None:
    browser = Browser(desk.session, door)
    _, text = await browser.post("/login", {"ticket": desk.ticket(door)}, Origin="null")
    token = text.partition('content="')[2].partition('"')[0]
    assert await browser.enrol(token) == 200
    assert await Browser.enrol(browser, token) == 403


async def test_a_signature_is_good_for_one_connection(desk: Desk, door: PageDoor, browser: Browser) -> None:
    said: list[dict[str, Any]] = []
    async with browser.socket() as ws:

        async def send(frame: dict[str, Any]) -> None:
            said.append(frame)
            await ws.send_json(frame)

        await browser.key.greet(send, ws.receive_json)
    async with browser.socket() as ws:
        await ws.send_json(said[0])
        await ws.receive_json()
        await ws.send_json(said[1])
        assert (await ws.receive()).data == LOG_IN


async def test_a_greeting_that_does_not_come_says_nothing_of_the_login(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.gateway.page.GREETING", 0.05)  # the other side slept, or this one hung
    async with browser.socket() as ws:
        assert (await ws.receive()).data == aiohttp.WSCloseCode.TRY_AGAIN_LATER


@pytest.mark.parametrize(
    "frames", [["x"], ["{}"], ['{"nonce":"' + "n" * 300 + '"}'], ['{"nonce":"n"}', '{"signature":"?"}']]
)
async def test_t11_a_greeting_that_is_none_ends_that_connection_only(frames: list[str], browser: Browser) -> None:
    async with browser.socket() as ws:
        for frame in frames:
            await ws.send_str(frame)
        while (message := await ws.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
        assert message.data == LOG_IN
    assert await browser.close_code() is None


async def test_another_user_of_the_machine_gets_nothing(desk: Desk, door: PageDoor, browser: Browser) -> None:
    desk.owner = os.geteuid() + 1
    assert (await browser.get())[0] == 403
    assert await browser.log_in(desk.ticket(door)) == 403
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await browser.close_code()
    desk.owner = -1  # an end that is closed already
    assert (await browser.get())[0] == 403
    desk.owner = None  # a system that does not tell
    assert (await browser.get())[0] == 200


async def test_a_code_logs_in_the_page_that_asks_for_it_and_takes_three_tries(desk: Desk, door: PageDoor) -> None:
    browser = Browser(desk.session, door)
    code = desk.logins.offer_code()
    assert (await browser.post("/code", {"code": "aaaa-aaaa"}))[0] == 403
    status, text = await browser.post("/code", {"code": f" {code.upper()} "})
    assert status == 200
    assert await browser.enrol(json.loads(text)["token"]) == 200
    assert await browser.close_code() is None
    assert (await browser.post("/code", {"code": code}))[0] == 403  # once
    code = desk.logins.offer_code()
    for left in ("2 more tries", "1 more try", "agent page --code"):
        assert left in (await browser.post("/code", {"code": "aaaa-aaaa"}))[1]
    assert (await browser.post("/code", {"code": code}))[0] == 403


async def test_a_login_is_over_after_twelve_hours_and_by_logout(desk: Desk, door: PageDoor, browser: Browser) -> None:
    other = Browser(desk.session, door)
    await other.log_in(desk.ticket(door))
    async with other.socket() as ws:
        await other.greet(ws)
        await ws.receive_json()
        assert desk.logins.log_out() == 2
        assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE
    assert [await browser.close_code(), await other.close_code()] == [LOG_IN, LOG_IN]
    await browser.log_in(desk.ticket(door))
    async with browser.socket() as ws:
        await browser.greet(ws)
        await ws.receive_json()
        await desk.device.net.clock.advance(43_200.0)
        assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE
    assert await browser.close_code() == LOG_IN


async def test_after_a_restart_a_living_document_comes_back_and_a_reloaded_one_does_not(desk: Desk) -> None:
    async with desk.served() as door:
        browser = Browser(desk.session, door)
        await browser.log_in(desk.ticket(door))
        assert await browser.close_code() is None
    async with desk.served() as again:
        assert again.origin != browser.origin
        assert (await browser.get())[
            0
        ] == 421  # what was planted there while the port was somebody else's finds nothing
        assert (await browser.post("/code", {"code": "x"}))[0] == 421
        assert await browser.close_code() is None
        browser.key.resume = ""  # what only the document knew
        assert await browser.close_code() == LOG_IN
        desk.logins.log_out()
        async with browser.socket() as ws:  # and it is told so
            assert (await ws.receive()).data == LOG_IN


async def test_after_a_restart_a_person_reads_what_to_do(desk: Desk) -> None:
    async with desk.served() as door:
        browser = Browser(desk.session, door)
    async with desk.served():
        for path in ("/", "/%3Cscript%3E?<script>"):
            said = browser.headers(Accept="text/html,*/*;q=0.8", Referer="<script>")
            async with desk.session.get(browser._url(path), headers=said) as answer:
                assert (answer.status, answer.content_type) == (421, "text/html")
                assert answer.headers["Content-Security-Policy"] == POLICY
                text = await answer.text()
        assert "<p>the service was started anew: <code>agent page</code> opens lan-agent's page</p>" in text
        assert '<html lang="en">' in text
        assert "script" not in text
        status, text = await browser.get(Host="rebound<b>.test", Accept="text/html")
        assert (status, "<b>" in text, "<code>page.allowed_hosts</code>" in text) == (421, False, True)
        assert (await browser.get(Accept="*/*"))[
            1
        ] == "the service was started anew: `agent page` opens lan-agent's page\n"


async def test_after_a_restart_a_login_at_a_name_that_stays_needs_its_document_too(desk: Desk) -> None:
    async with desk.served(plain=True) as door:
        assert door.origin == f"http://127.0.0.1:{desk.port}"
        browser = Browser(desk.session, door)
        await browser.log_in(desk.ticket(door))
    async with desk.served(plain=True):
        assert (await browser.get())[0] == 200
        browser.key.resume = ""
        assert await browser.close_code() == LOG_IN


async def test_a_proxy_is_let_in_by_its_exact_name_with_tls_and_a_login(desk: Desk) -> None:
    async with desk.served(allowed_hosts=("desk.example.ts.net",)) as door:
        desk.owner = 12345  # a proxy runs as whoever it likes
        assert door.also == ("https://desk.example.ts.net",)
        browser = Browser(desk.session, door, "https://desk.example.ts.net")
        code = desk.logins.offer_code()
        status, text = await browser.post("/code", {"code": code})
        assert status == 200
        assert "Secure" in browser.set_cookie
        await browser.enrol(json.loads(text)["token"])
        assert await browser.close_code() is None
        for host in ("evil.ts.net", "x.desk.example.ts.net", "desk.example.ts.net:444"):
            assert (await browser.get(Host=host))[0] == 421
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await browser.close_code(Origin="http://desk.example.ts.net")
        local = Browser(desk.session, door)
        local.cookie, local.key = browser.cookie, browser.key  # a login is for its origin
        desk.owner = os.geteuid()
        async with local.socket() as ws:
            assert (await ws.receive()).data == LOG_IN


async def test_a_port_that_is_taken_is_said_and_served_once_it_is_free(desk: Desk) -> None:
    (squatter,) = bind(0, ("127.0.0.1",))
    desk.port = int(squatter.getsockname()[1])
    async with desk.trying() as door:
        with pytest.raises(ConfigError, match=f"port {desk.port} is in use"):
            await door.opened()
        assert "page.port" in desk.problems[-1]
        assert (door.address, desk.said) == ("", [])
        squatter.close()
        await desk.device.net.clock.advance(15.0)
        assert desk.problems[-1] == ""
        assert (await Browser(desk.session, door).get())[0] == 200
        assert door.address == door.origin
        assert door.origin in desk.said[-1]


@pytest.mark.parametrize(("method", "params"), [("page.render", {"texts": ["*a*"]}), ("page.keep", {})])
async def test_what_only_a_page_may_ask_is_refused_to_all_others(
    desk: Desk, browser: Browser, method: str, params: dict[str, Any]
) -> None:
    request = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    desk.device.router.routes |= {
        route.method.name: route
        for some in (RenderHandlers(MarkdownTrees()), KeepHandlers(MemoryValues()))
        for route in some.routes()
    }
    async with browser.socket() as ws:
        await browser.greet(ws)
        await ws.receive_json()  # gateway.ready
        await ws.send_json(request)
        answer = await ws.receive_json()
        assert answer["result"] in ({"trees": [[["p", {}, [["em", {}, ["a"]]]]]]}, {})
        near, _ = pair()
        for other in (None, DeviceId("other")):
            client = channel(near, desk.device.net.clock, device=other)
            with pytest.raises(Forbidden, match="for pages in a browser"):
                desk.device.router.on_request(client, method, Raw(msgspec.msgpack.encode(params)))


async def test_a_page_opens_no_other_one_and_a_device_without_a_page_says_so(
    desk: Desk, door: PageDoor, browser: Browser
) -> None:
    handlers, page = desk.handlers, cast("Channel", object())
    caller = Caller(page, desk.device.id, "desk")
    assert (await handlers.open(OpenPage(), caller)).file in desk.store.tickets
    assert (await handlers.open(OpenPage(code=True), caller)).url == door.origin
    login = desk.logins.find(browser.cookie.partition("=")[2], browser.origin)
    assert login
    with desk.logins.connected(login, page), pytest.raises(Forbidden, match="a page opens no other one"):
        await handlers.open(OpenPage(), caller)
    with pytest.raises(Forbidden, match="switched off"):
        await PageHandlers(desk.logins, None).open(OpenPage(), caller)
