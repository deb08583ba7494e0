"""The page's door in a real browser: other pages, squatters, other users, proxies, codes and lost logins (T8, T11)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.e2e.device import ROOT, Device, Lines, until
from tests.page.household import PORT, House, Visit, ready

pytestmark = pytest.mark.device
DEVICES = ("desk",)
STRANGERS = ("phone",)

OTHER = "7489"
"""Port of somebody else's web server."""
NOBODY = 65534
# Everything with which a page can reach for another origin, and what came of each.
REACH = """async ([origin, ticket]) => {
    const refused = ({ status }) => status === 421 || status === 0; // 0: what came stays hidden
    const done = (promise) => promise.then((answer) => refused(answer) ? "refused" : "came in", () => "refused");
    const loaded = (node) => new Promise((tell) => {
        node.onload = () => tell("came in");
        node.onerror = () => tell("refused");
        document.body.append(node);
    });
    const socket = (address) => new Promise((tell) => {
        const ws = new WebSocket(address, "lan-agent.v1.json");
        ws.onopen = () => tell("came in");
        ws.onerror = () => tell("refused");
    });
    const at = (path) => `${origin}${path}`;
    const post = (body) => ({ method: "POST", mode: "no-cors", credentials: "include", body });
    return {
        read: await done(fetch(at("/"), { credentials: "include" })),
        blind: await done(fetch(at("/app.js"), { mode: "no-cors", credentials: "include" })),
        ticket: await done(fetch(at("/login"), post(new URLSearchParams({ ticket })))),
        code: await done(fetch(at("/code"), post('{"code":"guess"}'))),
        socket: await socket(at("/v1/ws").replace("http", "ws")),
        image: await loaded(Object.assign(new Image(), { src: at("/icon.svg") })),
        script: await loaded(Object.assign(document.createElement("script"), { src: at("/cut.js") })),
        module: await import(at("/cut.js")).then(() => "came in", () => "refused"),
    };
}"""
STORED = """const stored = () => new Promise((done) => {
    const opening = indexedDB.open("lan-agent", 1);
    opening.onsuccess = () => {
        const asked = opening.result.transaction("keys").objectStore("keys").get(1);
        asked.onsuccess = () => done(asked.result);
    };
});"""
# What somebody else's script does at an address of ours: with the cookie, and the browser's key or one of its own.
GREET = f"""async () => {{
    {STORED}
    const curve = {{ name: "ECDSA", namedCurve: "P-256" }};
    const {{ privateKey }} = await stored() ?? await crypto.subtle.generateKey(curve, false, ["sign"]);
    const ws = new WebSocket(`ws://${{location.host}}/v1/ws`, "lan-agent.v1.json");
    return await new Promise((done) => {{
        ws.onclose = ({{ code }}) => done(code);
        ws.onopen = () => ws.send(JSON.stringify({{ nonce: "mine" }}));
        ws.onmessage = async ({{ data }}) => {{
            const words = new TextEncoder().encode(
                `lan-agent-page|${{location.origin}}|mine|${{JSON.parse(data).nonce}}`);
            const signed = await crypto.subtle.sign({{ name: "ECDSA", hash: "SHA-256" }}, privateKey, words);
            ws.onmessage = () => done("came in");
            ws.send(JSON.stringify({{ signature: btoa(String.fromCharCode(...new Uint8Array(signed))) }}));
        }};
    }});
}}"""
# As another user: many connections that say nothing, and how many of them stay; and what three requests are answered.
KNOCK = """
import http.client, json, socket, sys, time
host, cookie, ticket = sys.argv[1:]
port = int(host.rpartition(":")[2])
def ask(method, path, body="", **headers):
    asked = http.client.HTTPConnection("127.0.0.1", port)
    asked.request(method, path, body, {"Host": host, "Cookie": cookie, **headers})
    return asked.getresponse().status
upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Origin": f"http://{host}",
           "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": "lan-agent.v1.json"}
got = [ask("GET", "/"), ask("POST", "/login", f"ticket={ticket}", Origin="null"), ask("GET", "/v1/ws", **upgrade)]
held = [socket.create_connection(("127.0.0.1", port)) for _ in range(400)]
stay = 0
for one in held:
    one.settimeout(0.2 if stay > 200 else 0.01)
    try:
        one.recv(1)
    except TimeoutError:
        stay += 1
    except OSError:
        pass
print(json.dumps({"ready": True, "got": got, "stay": stay}), flush=True)
sys.stdin.read()
"""
Run = Callable[..., Lines]


@pytest.fixture
def run() -> Iterator[Run]:
    """Start a program of somebody else on a device; returns when it has said that it is ready."""
    programs: list[Lines] = []

    def start(device: Device, *words: str) -> Lines:
        process = device.host.popen(
            [*words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        programs.append(Lines(process))
        programs[-1].wait_for('"ready"')
        return programs[-1]

    yield start
    for program in programs:
        program.close()


def hostile(*words: str) -> tuple[str, ...]:
    return sys.executable, "-m", "tests.page.hostile", *words


def told(program: Lines, key: str) -> list[Any]:
    return [line[key] for line in map(json.loads, list(program.out)) if key in line]


def host_of(page: Page) -> str:
    return str(page.evaluate("location.host"))


def ticket(device: Device) -> str:
    return Path(device.ask("page.open")["file"]).as_uri()


def secret(file: Path) -> str:
    """The ticket in the file that `page.open` makes."""
    return file.read_text().partition('name="ticket" value="')[2].partition('"')[0]


def field(page: Page) -> Locator:
    return page.get_by_label("Or a code")


def must_log_in(page: Page) -> None:
    expect(page.locator("body")).to_have_attribute("data-wire", "refused")
    expect(field(page)).to_be_visible()


def type_code(page: Page, code: str) -> None:
    field(page).fill(code)
    field(page).press("Enter")


@pytest.mark.parametrize("name", ["127.0.0.1", "own", "another.localhost", "somebody.test"])
def test_another_page_in_the_same_browser_reaches_nothing(name: str, house: House, visit: Visit, run: Run) -> None:
    visit.allow(".")  # the browser tells of each refusal
    page = visit("desk")
    site = run(house["desk"], *hostile("site", OTHER))
    theirs = page.context.new_page()
    theirs.goto(f"http://{host_of(page).partition(':')[0] if name == 'own' else name}:{OTHER}/")
    file = Path(house["desk"].ask("page.open")["file"])
    reached = theirs.evaluate(REACH, [f"http://{host_of(page)}", secret(file)])
    assert set(reached.values()) == {"refused"}, reached
    assert file.exists()  # even who knew a ticket could not use it up
    for opening in (
        "(url) => { window.kept = open(url) }",
        "(url) => { document.body.append(Object.assign(document.createElement('a'), {href: url, target: '_blank'})); "
        "document.querySelector('a').click() }",
    ):
        with page.context.expect_page() as opened:
            theirs.evaluate(opening, f"http://{host_of(page)}/")
        expect(opened.value.locator("body")).to_contain_text("not from another page: `agent page`")
    theirs.evaluate(
        "url => document.body.append(Object.assign(document.createElement('iframe'), {src: url}))",
        f"http://{host_of(page)}/",
    )
    until(lambda: len(theirs.frames) == 2, "the frame")
    assert not theirs.frames[1].get_by_text("lan-agent").count()
    # To another port of the same host the browser sends the cookie: alone it opens nothing (below).
    assert any("lan_agent" in cookie for cookie in told(site, "cookie")) == (name == "own")
    ready(page)


def test_a_name_that_was_made_to_lead_here_gets_nothing(house: House, visit: Visit) -> None:
    visit.allow(".")
    page = visit.context("desk").new_page()

    def from_elsewhere(route: Route) -> None:
        route.fulfill(body="<!doctype html><body>", content_type="text/html")

    page.route("**/", from_elsewhere, times=1)  # when the name still led to its owner
    page.goto(f"http://rebound.test:{PORT}/")
    file = Path(house["desk"].ask("page.open")["file"])
    reached = page.evaluate(REACH, [f"http://rebound.test:{PORT}", secret(file)])
    assert file.exists()
    assert set(reached.values()) == {"refused"}, reached


def test_the_key_stays_in_its_browser_and_the_cookie_opens_nothing_without_it(house: House, visit: Visit) -> None:
    visit.allow("40[34]")  # the second use of a ticket, and the icon of the words that refuse it
    file = ticket(house["desk"])
    page = visit.context("desk").new_page()
    page.goto(file)
    ready(page)
    again = house["desk"].ask("page.open")
    assert (
        page.evaluate(
            f"""async () => {{
            {STORED}
            const {{ privateKey }} = await stored();
            return await crypto.subtle.exportKey("pkcs8", privateKey).catch(({{ name }}) => name);
        }}"""
        )
        == "InvalidAccessError"
    )
    visit.tab(page)  # of the same browser: let in by the same key
    thief = visit.context("desk")
    thief.add_cookies(page.context.cookies())  # type: ignore[arg-type] # of two kinds of dictionaries
    theirs = thief.new_page()
    theirs.goto(f"http://{host_of(page)}/")
    must_log_in(theirs)
    assert theirs.evaluate(GREET) == 4401
    # A ticket is good once, whoever comes second: here a copy of its file.
    copy = Path(again["file"]).with_name("copy.html")
    copy.write_bytes(Path(again["file"]).read_bytes())
    visit.tab(page).goto(Path(again["file"]).as_uri())
    until(lambda: not Path(again["file"]).exists(), "the file to be gone")
    theirs.goto(copy.as_uri())
    expect(theirs.locator("body")).to_contain_text("that ticket was used, or is too old")
    copy.unlink()


def test_no_text_becomes_code_or_markup(house: House, visit: Visit) -> None:
    visit.allow(".")
    page = visit("desk")
    for script in (
        "() => { document.body.innerHTML = '<b>' }",
        "() => new Promise((done, no) => setTimeout(() => { try { done(eval('1')) } catch (error) { no(error) } }))",
        "() => { document.createElement('script').src = '/app.js' }",
        "() => navigator.serviceWorker.register('/app.js')",
        "() => trustedTypes.createPolicy('mine', {})",
    ):
        assert page.evaluate(
            f"async () => {{ try {{ await ({script})(); return '' }} catch (error) {{ return error.name }} }}"
        )


def test_half_of_a_character_is_said_as_one_that_is_unknown_and_ends_no_connection(house: House, visit: Visit) -> None:
    # What a cut leaves of an emoji has no JSON: three such messages would be the end.
    kept = visit("desk").evaluate("""() => new Promise((done) => {
        import("/wire.js").then(({ Wire }) => {
            const wire = new Wire({ async onState(state) {
                if (state !== "ready") return;
                for (const name of ["a", "b", "c"]) await wire.call("page.keep", { name, value: "half \\ud83d" });
                done((await wire.call("page.keep")).values);
            } });
            wire.start();
        });
    })""")
    assert kept == dict.fromkeys("abc", "half \ufffd")


def test_who_has_the_port_while_the_service_is_down_learns_nothing_and_leaves_nothing(
    house: House, visit: Visit, run: Run
) -> None:
    visit.allow(".")
    desk = house["desk"]
    page = visit("desk")
    beside = visit.tab(page)
    desk.kill()
    squatter = run(desk, *hostile("site", PORT, OTHER))
    expect(page.get_by_text("Something else answers in place of the service")).to_be_visible()
    beside.reload()
    expect(beside).to_have_title("planted")
    squatter.close()
    desk.up()
    ready(page)  # by itself, at its old name
    frames = told(squatter, "frame")
    assert frames
    assert {key for frame in frames for key in frame} == {"nonce"}
    # The worker has the old name; the browser's key and cookie are there, and open nothing.
    assert beside.evaluate(GREET) == 4401
    assert beside.evaluate("() => fetch('/').then(({ status }) => status)") == 421
    spy = run(desk, *hostile("site", OTHER))
    fresh = page.context.new_page()
    fresh.goto(ticket(desk))
    ready(fresh)
    assert host_of(fresh) != host_of(page)
    beside.evaluate("() => fetch('/any')")  # the worker is alive, and tells what it sees
    assert [body for body in until(lambda: told(spy, "body"), "the worker") if "/any" not in body] == []


def test_a_code_is_typed_once_and_has_three_tries(house: House, visit: Visit) -> None:
    visit.allow("403")
    desk = house["desk"]
    page = visit.context("desk").new_page()
    page.goto(f"{desk.ask('gateway.status')['page']}/")
    must_log_in(page)
    code = desk.line("page", "--code")
    type_code(page, "aaaa-aaaa")
    expect(page.get_by_role("alert").filter(has_text="2 more tries")).to_be_visible()
    type_code(page, f" {code.upper()} ")
    ready(page)
    other = visit.context("desk").new_page()
    other.goto(f"{desk.ask('gateway.status')['page']}/")
    type_code(other, code)
    expect(other.get_by_role("alert").filter(has_text="agent page --code")).to_be_visible()
    code = desk.ask("page.open", code=True)["code"]
    for _ in range(3):
        other.get_by_role("button", name="Log in").click()
    expect(other.get_by_role("alert").filter(has_text="once more")).to_be_visible()
    type_code(other, code)
    expect(other.get_by_role("alert").filter(has_text="once more")).to_be_visible()
    must_log_in(other)


def test_logging_out_ends_every_page_and_hides_what_it_showed(house: House, visit: Visit) -> None:
    desk = house["desk"]
    session = house.begin("desk", "Secret plans")
    page = visit("desk", f"#/s/{session.id}")
    beside = visit.tab(page)
    expect(beside.get_by_text("Secret plans").first).to_be_visible()
    assert "logged out" in desk.run("page", "--logout").stderr
    for each in (page, beside):
        must_log_in(each)
        expect(each.get_by_text("Secret plans").first).to_be_hidden()
        expect(each).to_have_title("lan-agent")
    beside.reload()
    must_log_in(beside)
    type_code(beside, desk.ask("page.open", code=True)["code"])
    ready(beside)
    expect(beside.get_by_text("Secret plans").first).to_be_visible()


def test_another_user_of_the_machine_is_not_served_and_does_not_swell_the_service(
    house: House, visit: Visit, run: Run
) -> None:
    desk = house["desk"]
    page = visit("desk")
    cookie = "; ".join(f"{each['name']}={each['value']}" for each in page.context.cookies())
    file = Path(desk.ask("page.open")["file"])
    as_nobody = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    other = run(desk, *as_nobody, sys.executable, "-I", "-c", KNOCK, host_of(page), cookie, secret(file))
    assert file.exists()
    assert told(other, "got") == [[403, 403, 403]]
    assert told(other, "stay")[0] <= 128
    ready(visit.tab(page))  # the owner is served while they are held


def test_a_browser_on_another_machine_comes_in_through_ssh_at_the_same_port(
    house: House, visit: Visit, run: Run
) -> None:
    visit.allow("421")
    desk, phone = house["desk"], house["phone"]
    phone.kill()  # its page has the port
    tunnel = str(desk.home / "tunnel")
    run(desk, *hostile("relay", tunnel, f"127.0.0.1:{PORT}"))
    for port in (PORT, OTHER):
        run(phone, *hostile("relay", f"127.0.0.1:{port}", tunnel))
    address = desk.ask("gateway.status")["page"]
    page = visit.context("phone").new_page()
    page.goto(address.replace(PORT, OTHER))
    expect(page.locator("body")).to_contain_text(f"ssh -L {PORT}:127.0.0.1:{PORT} HOST")
    page.goto(address)
    type_code(page, desk.line("page", "--code"))
    ready(page)


def test_a_proxy_with_tls_is_let_in_by_its_name_and_a_service_without_names_by_its_address(
    house: House, visit: Visit, run: Run
) -> None:
    visit.allow("403|421|WebSocket")
    desk = house["desk"]
    desk.leave()
    desk.add_environ(LAN_AGENT_PAGE_PLAIN="true", LAN_AGENT_PAGE_ALLOWED_HOSTS="Desk.test:8443, desk.test:8444")
    squatter = run(desk, *hostile("site", PORT))
    try:
        desk.up()
        ran = desk.run("page", "--print", status=78)
        assert f"port {PORT} is in use by another program" in ran.stderr
        assert "the page is not served" in desk.run("status").stdout
        squatter.close()
        desk.leave()
        desk.up()
        page = visit.context("desk").new_page()
        page.goto(ticket(desk))
        ready(page)
        assert host_of(page) == f"127.0.0.1:{PORT}"
        for port, *dropped in (("8443",), ("8444", "Origin"), ("8445",)):
            run(desk, *hostile("proxy", f"127.0.0.1:{port}", f"127.0.0.1:{PORT}", *dropped))
        proxied = visit.context("desk", ignore_https_errors=True).new_page()
        proxied.goto("https://desk.test:8445/")
        expect(proxied.locator("body")).to_contain_text("page.allowed_hosts")
        proxied.goto("https://desk.test:8444/")
        type_code(proxied, "aaaa-aaaa")
        expect(proxied.get_by_role("alert").filter(has_text="must pass on Origin")).to_be_visible()
        proxied.goto("https://desk.test:8443/")
        type_code(proxied, desk.line("page", "--code"))
        ready(proxied)
        (cookie,) = proxied.context.cookies()
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
    finally:
        squatter.close()
        desk.leave()
        desk.add_environ(LAN_AGENT_PAGE_PLAIN="false", LAN_AGENT_PAGE_ALLOWED_HOSTS="")
