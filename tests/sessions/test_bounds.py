"""T11: what a peer or a program says is cut to its bounds, and costs what its bounds allow, whatever it is."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import AgentError
from agent.ports import (
    Asked,
    BackendEvent,
    Described,
    Exited,
    Finished,
    Planned,
    Said,
    Thought,
    ToolFinished,
    ToolProgressed,
    ToolStarted,
    Unknown,
    Withdrew,
)
from agent.protocol.bounds import AMOUNT_MAX, NUMBER_MAX
from agent.protocol.codec import FRAME_OUT_MAX
from agent.protocol.events import (
    Choice,
    Command,
    Diff,
    Field,
    Location,
    Option,
    PlanEntry,
    Usage,
    make_event,
    payload_of,
)
from agent.protocol.messages import SessionsChanged
from agent.protocol.methods import METHODS, NOTIFICATIONS, SESSION_CHANGED
from agent.protocol.model import SessionId
from agent.protocol.names import CUT, MARKS_MAX
from agent.sessions.rules.bounds import CharacterBudget
from agent.sessions.rules.effects import Decision
from agent.sessions.rules.mapping import payloads_of
from agent.sessions.rules.state import SessionMachine
from tests.fakes.clock import settle
from tests.fakes.gateways import network
from tests.links.test_hostile_links import Evil, a_row
from tests.links.test_peers import create

MARKS = "e" + "\u0301" * 200_000


# --- peers ------------------------------------------------------------------------------------------------------------


async def test_a_row_beyond_its_bounds_costs_itself_and_neither_the_list_nor_the_link() -> None:
    async with network("desk") as (net, (desk,)):
        evil = Evil(net, desk)
        sound, odd = a_row("soundsoundsounds", "sound"), a_row("oddoddoddoddoddo", "x" * 10_000)
        evil.answer = lambda method, params: [odd, sound, {"id": 7}, "nonsense"]
        async with evil.linked():
            await settle()
            assert [row.title for row in desk.registry.sessions()] == ["sound"]
            later = a_row("laterlaterlaterl", "later")
            for _ in range(5):  # three that do not fit the schema would end the link
                evil.tell("session.changed", {"changed": [odd, 3, later, {"title": MARKS}], "removed": []})
                await settle()
            assert sorted(row.title for row in desk.registry.sessions()) == ["later", "sound"]
            assert evil.channel.open


@contextmanager
def normalised() -> Iterator[list[int]]:
    """How many characters each text had that was normalised meanwhile."""
    sizes: list[int] = []
    patch = pytest.MonkeyPatch()
    real = unicodedata.normalize

    def counting(form: Any, text: str) -> str:
        sizes.append(len(text))
        return real(form, text)

    patch.setattr(unicodedata, "normalize", counting)
    try:
        yield sizes
    finally:
        patch.undo()


def hostile(kind: type[msgspec.Struct], text: str) -> dict[str, object]:
    """Parameters of which every text is that one."""
    filled: dict[str, object] = {}
    for field in msgspec.structs.fields(kind):
        told = msgspec.inspect.type_info(field.type)
        filled[field.encode_name] = text if isinstance(told, msgspec.inspect.StrType) else [text]
    return filled


texts = st.sampled_from(
    [MARKS[:500], MARKS[:4000], MARKS[:60_000], MARKS, "\u1100" * 60_000, "a\u0301" * 60_000, "\U000e0041" * 9_000]
)


@settings(max_examples=20)
@given(texts, st.sampled_from(["guest", "member"]))
def test_no_frame_costs_more_than_its_bounds_allow(text: str, role: str) -> None:
    """Attack: a title of 200 KB of combining marks stood the service still for 11 s. Characters, not seconds."""

    async def every_method() -> None:
        async with network("desk", "pi") as (_, (desk, pi)):
            session = await create(desk)
            desk.limit(pi, role=role)
            for method, row in METHODS.items():
                for asked in (hostile(row.params, text), hostile(row.params, text) | {"session_id": session}):
                    link = await pi.peers.link(desk.id)  # three that do not fit end a link
                    with normalised() as sizes:
                        with suppress(AgentError):
                            await link.channel.request(method, asked, seconds=5.0)
                        await settle()
                    assert sum(sizes) <= 10 * CUT * 512, method
            for name, note in NOTIFICATIONS.items():
                link = await pi.peers.link(desk.id)
                with normalised() as sizes:
                    link.channel.send(link.channel.codec.notification(name, hostile(note.params, text)))
                    await settle()
                assert sum(sizes) <= 10 * CUT * 512, name

    asyncio.run(every_method())


@pytest.mark.parametrize("role", ["member", "guest"])
async def test_rows_cost_what_is_kept_of_them(role: str) -> None:
    async with network("desk", "pi") as (_, (desk, pi)):
        desk.limit(pi, role=role)
        link = await pi.peers.link(desk.id)
        text = MARKS[:4096]
        rows = [
            msgspec.structs.replace(
                a_row(f"row{chr(97 + n // 26)}{chr(97 + n % 26)}aaaaaaaaaaa", text), cwd=text, model=text
            )
            for n in range(30)
        ]
        with normalised() as sizes:
            link.channel.notify(SESSION_CHANGED, SessionsChanged(changed=tuple(rows)))
            await settle()
        assert len(sizes) == (90 if role == "member" else 0)
        assert max(sizes, default=0) <= 1 + MARKS_MAX  # such a run is cut before it is sorted


# --- programs ---------------------------------------------------------------------------------------------------------

words = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["x" * 300_000, "\ud800" * 5000, MARKS[:9000], "\x1b[8m", "\U000e0041" * 200, ""]),
)
numbers = st.one_of(
    st.sampled_from([0, -1, 2**53, 2**63, 2**64, 10**300, -(10**300)]),
    st.floats(allow_nan=True, allow_infinity=True).map(lambda value: value),
)
steps = st.lists(st.builds(PlanEntry, text=words, priority=words), max_size=2).map(lambda p: tuple(p) * 100)
commands = st.lists(st.builds(Command, name=words, description=words, hint=words), max_size=2).map(
    lambda c: tuple(c) * 200
)
choices = st.lists(st.builds(Choice, id=words, name=words, kind=words, description=words), max_size=3).map(
    lambda c: tuple(c) * 100
)
places = st.lists(st.builds(Location, path=words, line=numbers), max_size=2).map(lambda at: tuple(at) * 30)
diffs = st.lists(st.builds(Diff, path=words, patch=words), max_size=2).map(lambda d: tuple(d) * 30)
usages = st.none() | st.builds(Usage, used=numbers, size=numbers, cost=numbers, currency=words)
statuses = st.sampled_from(["complete", "interrupted", "error"])
fields = st.builds(
    Field, name=words, title=words, description=words, choices=choices, default=words | numbers | st.none()
)
options = st.builds(Option, id=words, name=words, value=words, choices=choices, category=words, description=words)
events: st.SearchStrategy[BackendEvent] = st.one_of(
    st.builds(Said, words),
    st.builds(Thought, words),
    st.builds(Finished, status=statuses, cwd=words, error=words, usage=usages),
    st.builds(Exited, status=st.sampled_from(["ended", "failed"]), reason=words),
    st.builds(Asked, request_id=words, kind=st.just("form"), prompt=words, choices=choices, detail=words,
              tool=words, tool_name=words, cwd=words, locations=places,
              fields=st.lists(fields, max_size=2).map(lambda f: tuple(f) * 40)),
    st.builds(Withdrew, words, words),
    st.builds(Described, title=words, cwd=words, model=words, note=words,
              options=st.lists(options, max_size=2).map(lambda o: tuple(o) * 20),
              commands=commands),
    st.builds(ToolStarted, tool_id=words, title=words, tool=words, input=words, tool_name=words, locations=places),
    st.builds(ToolProgressed, tool_id=words, text=words, title=words, diffs=diffs, locations=places),
    st.builds(ToolFinished, tool_id=words, status=statuses, output=words, diffs=diffs, locations=places),
    st.builds(Planned, steps),
    st.builds(Unknown, kind=words, data=words),
)  # fmt: skip


@settings(max_examples=150)
@given(events)
def test_whatever_a_program_says_fits_its_type_and_a_frame(event: BackendEvent) -> None:
    # Titles of ACP and Hermes, options, usage of 1e300, names of tools and commands: one door for all.
    session = SessionMachine(SessionId("abcdefghijklmnop"))
    session.running = session.turns = 1
    decision: Decision = payloads_of(session, event)
    for number, payload in enumerate(decision.payloads, 1):
        logged = make_event(number, payload, 1.8e9)
        assert payload_of(logged) == payload
        assert len(logged.payload) < FRAME_OUT_MAX


def test_what_may_be_chosen_comes_before_what_it_means() -> None:
    # Three hundred models with a page about each: none is left out for it.
    choices = tuple(Choice(id=f"m{number}", name=f"Model {number}", description="x" * 2000) for number in range(256))
    option = Option(id="model", name="Model", value="m0", choices=choices, description="which")
    (kept,) = CharacterBudget().options([option])
    assert [choice.id for choice in kept.choices] == [choice.id for choice in choices]
    assert (kept.description, len(kept.choices[0].description), kept.choices[-1].description) == (
        "which",
        1024,
        "",
    )


def test_usage_beyond_all_measure_is_a_number_that_fits() -> None:
    session = SessionMachine(SessionId("abcdefghijklmnop"))
    session.running = session.turns = 1
    told = Usage(used=10**300, size=-5, cost=float("inf"), currency="x" * 1000)
    (done,) = [
        each
        for each in payloads_of(session, Finished(status="complete", usage=told)).payloads
        if hasattr(each, "usage")
    ]
    assert done.usage == Usage(used=NUMBER_MAX, size=0, cost=AMOUNT_MAX, currency="x" * 128)
    nan = Usage(used=float("nan"), cost=float("nan"))  # type: ignore[arg-type]  # as JSON of a program may have it
    (done,) = [
        each for each in payloads_of(session, Finished(status="complete", usage=nan)).payloads if hasattr(each, "usage")
    ]
    assert done.usage == Usage()
