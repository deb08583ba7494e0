"""What the page costs the browser: `python -m tests.bench.bench_page`, with Debian's Chromium.

A real service, and the page logged in by `agent page --print`. Costs are CPU of the page's main thread (thread ticks by
CDP), so that a busy machine spoils none of them; what is measured in time of the clock says so.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page, WebSocket, sync_playwright

from tests.bench.devices import Device, alone, devices, until
from tests.page.conftest import FILES, ORIGIN, serve
from tests.page.household import CHROMIUM, Complaints

RATE, SECONDS = 200, 10
EVENTS, ROWS = 10_000, 2_000
COSTS = ("TaskDuration", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration")
LONG_TASKS = """() => {
  globalThis.long = [];
  new PerformanceObserver((list) => long.push(...list.getEntries().map((each) => Math.round(each.duration))))
    .observe({type: "longtask"});
}"""
# Notes when each numbered word came, and looks every 50 ms which one is shown: how far behind that is, in ms.
BEHIND = """() => {
  const NUMBER = /#(\\d+) /g;
  const came = new Map();
  globalThis.behind = [];
  let last = 0;
  addEventListener("framed", ({detail}) => {
    for (const [, number] of detail.matchAll(NUMBER)) came.set(last = Number(number), performance.now());
  });
  setInterval(() => {
    const text = document.querySelector(".item.reply:last-child")?.textContent ?? "";
    const shown = Number([...text.matchAll(NUMBER)].at(-1)?.[1] ?? -10);
    if (came.size) behind.push(shown < last ? performance.now() - came.get(shown + 10) : 0);
  }, 50);
}"""
HOOK = """globalThis.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({data}) => dispatchEvent(new CustomEvent("framed", {detail: data})));
  }
}"""
# When the list was in sight: in ms since the browser began to ask for the page.
LISTED = """new MutationObserver((_, observer) => {
  if (!document.querySelector("#side .row")) return;
  observer.disconnect();
  requestAnimationFrame(() => globalThis.listed = performance.now());
}).observe(document, {childList: true, subtree: true})"""


# How many files were asked for until then, and their bytes as sent, with headers; the document is one of them.
FETCHED = """() => {
  const asked = performance.getEntriesByType("resource").filter((each) => each.startTime < listed);
  const page = performance.getEntriesByType("navigation")[0];
  return [asked.length + 1, [page, ...asked].reduce((sum, each) => sum + each.transferSize, 0)];
}"""


class Costs:
    """CPU seconds of a page's main thread since the last look."""

    def __init__(self, page: Page) -> None:
        self._cdp: CDPSession = page.context.new_cdp_session(page)
        self._cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        told = self._cdp.send("Performance.getMetrics")["metrics"]
        return {each["name"]: each["value"] for each in told}

    def since(self) -> list[float]:
        """Of all tasks, scripts, layout and style."""
        before, self._before = self._before, self._now()
        return [self._before[name] - before[name] for name in COSTS]


class Frames:
    """What a page's WebSocket has brought."""

    def __init__(self, page: Page) -> None:
        self.bytes = 0
        page.on("websocket", self._opened)

    def _opened(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._came)

    def _came(self, payload: bytes | str) -> None:
        self.bytes += len(payload if isinstance(payload, bytes) else payload.encode())


@contextmanager
def logged_in(browser: Browser, device: Device, script: str = "") -> Iterator[tuple[Page, Frames]]:
    """A page that shows the list, and what it has received; `script` runs before its own."""
    link = device.command("page", "--print").communicate(timeout=30)[0].strip()
    context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.add_init_script(script)
    frames = Frames(page)
    page.on("pageerror", lambda error: sys.exit(str(error)))
    page.goto(link)
    page.wait_for_selector("#side .row")
    yield page, frames
    context.close()


def opened(page: Page, session: str) -> None:
    page.evaluate("(id) => { location.hash = `#/s/${id}` }", session)
    page.wait_for_selector("#message")
    page.wait_for_timeout(500)


missed: list[str] = []


def line(what: str, value: str, goal: str = "", *, reached: bool = True) -> None:
    """Print a figure. Only those of CPU and size may miss their goal: the others hold on a quiet machine."""
    print(f"{what:44} {value:>24}   {goal and f'goal {goal}'}", flush=True)
    if not reached:
        missed.append(what)


def session_of(device: Device, title: str) -> str:
    return str(device.client.call("session.create", {"backend": "tick", "title": title})["session_id"])


def prompt(device: Device, session: str, text: str, number: int = 0) -> None:
    device.client.call("prompt.submit", {"session_id": session, "prompt_id": f"p{number}", "text": text})


def idle(device: Device, session: str) -> bool:
    rows = device.client.call("session.list", {"scope": "local"})
    return any(row["id"] == session and row["status"] == "idle" for row in rows)


def percentiles(values: list[float]) -> str:
    ordered = sorted(values)
    return f"{statistics.median(ordered):.0f}, {ordered[int(len(ordered) * 0.95)]:.0f} ms"


def listing(browser: Browser, device: Device) -> None:
    """From the post that logs in to the list in sight."""
    session_of(device, "One")
    times = []
    for _ in range(9):
        with logged_in(browser, device, LISTED) as (page, _):
            page.wait_for_timeout(300)
            times.append(page.evaluate("listed"))
            requests, size = page.evaluate(FETCHED)
    line("list in sight after login: clock", f"{statistics.median(times):.0f} ms", "300 ms")
    requests += 1  # the WebSocket
    line("  requests until then, as sent", f"{requests}, {size / 1000:.0f} kB", "25", reached=requests <= 25)


def stream(browser: Browser, device: Device, what: str) -> None:
    """A reply of 200 deltas a second."""
    session = session_of(device, what)
    with logged_in(browser, device) as (page, _):
        opened(page, session)
        page.evaluate(LONG_TASKS)
        costs = Costs(page)
        prompt(device, session, f"{RATE * SECONDS} {1 / RATE} {what}")
        page.wait_for_timeout(1000)
        costs.since()
        begin = time.perf_counter()
        page.wait_for_timeout((SECONDS - 2) * 1000)
        whole, script, layout, style = (each / (time.perf_counter() - begin) for each in costs.since())
        tasks = page.evaluate("long")
    line(f"{RATE} deltas a second, {what}: main thread", f"{whole:.1%}", "10 %", reached=whole <= 0.1)
    line("  script, layout, style", f"{script:.1%}, {layout:.1%}, {style:.1%}", "script 2 %", reached=script <= 0.02)
    line("  tasks over 50 ms of the clock", f"{tasks or 'none'}", "none")


def behind(browser: Browser, device: Device) -> None:
    """How long what has come is not yet shown."""
    session = session_of(device, "behind")
    with logged_in(browser, device, HOOK) as (page, _):
        opened(page, session)
        page.evaluate(BEHIND)
        prompt(device, session, f"{RATE * SECONDS} {1 / RATE} words")
        page.wait_for_timeout(SECONDS * 1000)
        line("  shown behind received: clock, p50, p95", percentiles(page.evaluate("behind")), "p95 250 ms")


def long_transcript(browser: Browser, device: Device) -> None:
    """A session of 10,000 events is opened."""
    session = session_of(device, "Long")
    while (seq := device.client.call("session.history", {"session_id": session, "limit": 1})["seq"]) < EVENTS:
        prompt(device, session, f"{100 + seq % 7} 0 tools", seq)
        until(lambda: idle(device, session))
    with logged_in(browser, device) as (page, frames):
        page.wait_for_timeout(500)
        costs, before = Costs(page), frames.bytes
        opened(page, session)
        page.wait_for_timeout(1500)
        whole, *_ = costs.since()
        items = page.locator(".item").count()
        line(f"{EVENTS:,} events opened: main thread", f"{whole * 1000:.0f} ms", "300 ms", reached=whole <= 0.3)
        size = (frames.bytes - before) / 1000
        line("  on the wire, items", f"{size:,.0f} kB, {items}", "400 kB, 60", reached=size <= 400 and items <= 60)


def many_rows(browser: Browser) -> None:
    """A list of 2,000 sessions, from a scripted wire."""
    device = {"id": "desk", "name": "desk"}
    row = {"status": "idle", "device": device, "local": False, "attachable": True, "backend": "codex", "model": ""}
    at = "2027-01-15T08:00:00.000Z"
    rows = [
        row | {"id": f"s{number}", "title": f"Session {number}", "created_at": at, "updated_at": at, "participants": []}
        for number in range(ROWS)
    ]
    answers: dict[str, Any] = {
        "session.watch": [], "peer.watch": [], "gateway.status": {"id": "own"}, "page.keep": {"values": {}},
    }  # fmt: skip
    context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 800}, base_url=ORIGIN)
    serve(context, Complaints())
    page = context.new_page()
    page.add_init_script(f"globalThis.answers = {json.dumps(answers)}")
    page.goto("/")
    page.wait_for_selector("#side .rows")
    page.evaluate("(rows) => { globalThis.rows = rows; }", rows)
    costs = Costs(page)
    page.evaluate("service.tell('session.changed', {changed: rows})")
    page.wait_for_selector(f"#side .row >> nth={ROWS - 1}", state="attached")
    page.wait_for_timeout(500)
    whole, *_ = costs.since()
    line(f"{ROWS:,} rows: main thread", f"{whole * 1000:.0f} ms", "150 ms", reached=whole <= 0.15)
    page.evaluate("service.tell('session.changed', {changed: [{...rows[0], title: 'Other'}]})")
    page.wait_for_timeout(500)
    line("  one of them changes", f"{costs.since()[0] * 1000:.1f} ms")
    context.close()


def main() -> int:
    alone("tests.bench.bench_page")
    with devices("desk", program=("tests.bench.gateway",)) as (desk,), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        listing(browser, desk)
        stream(browser, desk, "words")
        behind(browser, desk)
        stream(browser, desk, "code")
        long_transcript(browser, desk)
        many_rows(browser)
        browser.close()
    size = sum(path.stat().st_size for path in FILES.rglob("*") if path.is_file())
    line("own files of the page", f"{size / 1000:.0f} kB", "150 kB")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
