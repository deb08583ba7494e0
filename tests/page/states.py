"""The states of the page: a household in which all of them can be had, and how to come to each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from playwright.sync_api import Page, expect

from agent.ports import (
    Asked,
    Described,
    Exited,
    Finished,
    Planned,
    Said,
    Thought,
    ToolFinished,
    ToolProgressed,
    ToolStarted,
)
from agent.protocol.events import Choice, Command, Diff, Field, Location, Option, PlanEntry, Usage
from tests.page.household import Agent, House

LONG = "Find out why the nightly build of the wire protocol fails on the kitchen Raspberry Pi and nowhere else"
CJK = "把中继器的重连逻辑改成指数退避并为断线三十秒以上的情况补上测试"
JAPANESE = "共有フォルダーの同期が夜中に止まる原因を調べて直す"
UNBROKEN = "a" * 90
ROWS = (
    "Notes", CJK, LONG, JAPANESE, UNBROKEN, "שלום עולם — right to left", "📦 Release 2.4", "x",
    *(f"Errand number {number}" for number in range(12)),
)  # fmt: skip
MARKDOWN = f"""## What was wrong

`wire.py` caught **only** `DecodeError`; a frame nested 2,000 deep raised `RecursionError` and ended the *reader*.

1. It catches both now.
2. A test sends such a frame.
   - with [the standard](https://www.rfc-editor.org/rfc/rfc8259#section-9) in mind
   - and ~~nothing else~~

| what | before | after |
| --- | ---: | ---: |
| frames that ended the reader | 2 | 0 |
| {"a wide column " * 6} | 1 | 1 |

```python
def decode(data: bytes) -> ClientFrame:
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as exc:  # a line that is longer than a narrow window is wide, by far
        raise BadFrame(str(exc)) from exc
```

> {CJK}

- [x] mend it
- [ ] tell the others

{UNBROKEN}
"""
PATCH = """@@ -12,7 +12,7 @@ def decode(data: bytes) -> ClientFrame:
     try:
         return _decoder.decode(data)
-    except msgspec.DecodeError as exc:
+    except (msgspec.DecodeError, RecursionError) as exc:  # RFC 8259, 9: depth may be limited
         raise BadFrame(str(exc)) from exc
"""
ALLOW = (
    Choice(id="once", name="Allow once", kind="allow_once"),
    Choice(id="always", name="Always allow `rm` in this folder", kind="allow_always"),
    Choice(id="no", name="Reject", kind="reject_once"),
)
FORM = (
    Field(name="host", title="Host", description="Where the release goes", required=True, default="pi-kitchen.local"),
    Field(name="port", title="Port", type="integer", default=22),
    Field(name="sure", title="Restart it afterwards", type="boolean", default=True),
    Field(name="how", title="How", type="choice", choices=(Choice(id="a", name="At once"), Choice(id="b", name=LONG))),
    Field(name="which", title="Which", type="choices", choices=tuple(Choice(id=w, name=w) for w in ("wire", "page"))),
)  # fmt: skip


class State(NamedTuple):
    """One state: where it is, what stands there once it has come, and what brings it about beyond its address."""

    route: str
    shows: str  # a selector
    act: Callable[[Page], None] | None = None


def turn(agent: Agent, house: House, text: str) -> None:
    """Have laptop prompt a session of desk; its turn is left running."""
    house["laptop"].ask("prompt.submit", session_id=agent.id, prompt_id=f"p{text}"[:60], text=text)
    agent.hear("prompt")


def worked(agent: Agent, house: House) -> None:
    """A turn with whatever a turn can have."""
    turn(agent, house, "Run the tests and mend what fails. " + CJK)
    agent.emit(
        Described(model="a-model-of-some-size", options=(
            Option(id="model", name="Model", value="large", category="model", choices=(
                Choice(id="large", name="A model of some size"), Choice(id="small", name="A small one"))),
            Option(id="mode", name="Mode", value="ask", category="mode", choices=(
                Choice(id="ask", name="Ask before each change"), Choice(id="auto", name="Do not ask"))),
        ), commands=(Command(name="compact", description="Shorten what was said so far"),)),
        Thought("The reader ends. It must be an exception that nobody catches."),
        Planned((PlanEntry(text="find it", status="completed"), PlanEntry(text=LONG, status="in_progress"),
                 PlanEntry(text="tell the others"))),
        ToolStarted(tool_id="t1", title="pytest -q tests/protocol", tool="execute", input="pytest -q tests/protocol"),
        ToolProgressed(tool_id="t1", text="\x1b[31mFAILED\x1b[0m tests/protocol/test_wire.py::test_depth\n"),
        ToolFinished(tool_id="t1", status="error", output="\x1b[31mFAILED\x1b[0m\n\x1b[1;32m41 passed\x1b[0m\n"),
        ToolStarted(tool_id="t2", title="Edit agent/protocol/wire.py", tool="edit",
                    locations=(Location(path="/src/agent/protocol/a/folder/that/is/deep/wire.py", line=12),)),
        ToolFinished(tool_id="t2", status="complete",
                     diffs=(Diff(path="/src/agent/protocol/a/folder/that/is/deep/wire.py", patch=PATCH),)),
        Said(MARKDOWN),
        Finished(status="complete", usage=Usage(used=41_000, size=200_000)),
    )  # fmt: skip


def furnish(house: House) -> dict[str, State]:
    """Sessions of all kinds, as laptop sees them; the states by name."""
    for title in ROWS:
        house["pi" if title == CJK else "desk"].ask("session.create", backend="scripted", title=title, cwd="/")
    for title in ("Groceries", JAPANESE, LONG):
        house["laptop"].ask("session.create", backend="scripted", title=title, cwd="/")
    done, streaming, long = (house.begin("desk", title) for title in ("Build the wire", "Log-in by code", LONG))
    asking, filling, hiding, watched = (
        house.begin("desk", title) for title in ("Clean up", "Release", "Unlock the disk", "Only to watch")
    )
    failed, away = house.begin("laptop", "Gone wrong"), house.begin("pi", "Kitchen timer")
    here = house["laptop"]
    for agent in (done, streaming, long, asking, filling, hiding, watched, away):
        here.wait_for_session(agent.id)
    worked(done, house)
    turn(streaming, house, "Explain how one logs in")
    streaming.emit(
        Thought("Two ways."), ToolStarted(tool_id="t", title=f"grep -rn {UNBROKEN} agent", tool="search"),
        Said("There are **two** ways:\n\n1. a ticket in a file, good *once*\n2. a code, which"),
    )  # fmt: skip
    for text in ("Then commit", LONG):
        here.ask("prompt.submit", session_id=streaming.id, prompt_id=text[:20], text=text)
    turn(long, house, MARKDOWN * 3)
    turn(asking, house, "Remove what is not needed")
    asking.emit(
        Asked(request_id="q1", kind="choices", prompt="Run this command?", choices=ALLOW, tool="execute", cwd="/src",
              detail="\n".join(f"rm -r build/{UNBROKEN}/{n}" for n in range(40)), own_words=True),
        Asked(request_id="q2", kind="line", prompt=CJK),
    )  # fmt: skip
    turn(filling, house, "Release it")
    filling.emit(Asked(request_id="q3", kind="form", prompt="Where does the release go?", fields=FORM))
    turn(hiding, house, "Unlock it")
    hiding.emit(Asked(request_id="q4", kind="secret", prompt="Passphrase of /dev/sda2"))
    house["desk"].ask("session.share", session_id=watched.id, share="read-only")
    failed.emit(Said("Half a"), Exited(status="failed", reason="the program ended with signal 9"))
    screen = here.ask("session.create", backend="terminal", title="less", command=["less", __file__])["session_id"]
    shell = here.ask("session.create", backend="shell", title="Shell")["session_id"]
    here.run("prompt", shell, r"printf '\033[1;32mgreen\033[0m and \033[44;37mon blue\033[0m\n%0200d\n' 0")
    here.run("prompt", "--no-wait", shell, r"printf 'Loading\n\033[31m####\033[0m 50 %%'; sleep 3600")
    house["pi"].leave()
    here.wait_to_see(house["pi"], "offline")
    return {
        "list": State("#/", ".welcome:not(.unknown)"),
        "done": State(f"#/s/{done.id}", "main table"),
        "tools": State(f"#/s/{done.id}", "main table", unfold),
        "streaming": State(f"#/s/{streaming.id}", "main ol"),
        "long prompt": State(f"#/s/{long.id}", "main article"),
        "question": State(f"#/s/{asking.id}", ".ask button"),
        "form": State(f"#/s/{filling.id}", ".ask input"),
        "secret": State(f"#/s/{hiding.id}", ".ask input[type=password]"),
        "read-only": State(f"#/s/{watched.id}", "main h1:text('Only to watch')"),
        "failed": State(f"#/s/{failed.id}", "main h1:text('Gone wrong')"),
        "terminal": State(f"#/s/{screen}", "main h1:text('less')"),
        "shell": State(f"#/s/{shell}", "main .moving:text('50 %')"),
        "away": State(f"#/s/{away.id}", "main .stands:not(:empty)"),
        "new": State("#/new", "main select"),
        "devices": State("#/devices", "main .card"),
        "settings": State("#/settings", "main select"),
        "pair": State("#/pair", "main form"),
        "pairing": State("#/pair", "main form", lambda page: page.locator("main form button").first.click()),
        "menu": State("#/", "#side .more", lambda page: page.locator("#side .more").first.click()),
        "rename": State("#/", "#side .more", lambda page: choose(page, 1)),
        "share": State("#/", "#side .more", lambda page: choose(page, 2)),
        "keys": State("#/devices", "main .card", lambda page: page.keyboard.press("?")),
        "nothing found": State("#/", "#side input", lambda page: page.locator("#side input").first.fill(UNBROKEN)),
    }


def choose(page: Page, number: int) -> None:
    page.locator("#side .more").first.click()
    page.get_by_role("menuitem").nth(number).click()


def unfold(page: Page) -> None:
    """Open whatever is folded in the transcript, and go to its beginning."""
    for _ in range(2):  # in a fold there are more, which are made when it is opened
        page.evaluate("document.querySelectorAll('main details').forEach((fold) => { fold.open = true })")
        settle(page)
    page.locator("main article").first.scroll_into_view_if_needed()


def come(page: Page, state: State) -> None:
    """Go there, from wherever one is."""
    page.keyboard.press("Escape")
    page.evaluate("route => { location.hash = route }", state.route)
    expect(page.locator(state.shows).first).to_be_visible()
    if state.act:
        state.act(page)
    settle(page)


def leave(page: Page, name: str) -> None:
    """Undo what `come` did beyond going there."""
    if name == "pairing":
        page.locator("main section button").last.click()
    if name == "nothing found":
        page.locator("#side input").first.fill("")
    page.keyboard.press("Escape")


def settle(page: Page) -> None:
    """Let what was changed be drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
