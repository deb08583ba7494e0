"""What every backend promises (`ports.Backend`, `ports.BackendType`)."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

import pytest

from agent.adapters.backends.commands import CommandsBackend
from agent.adapters.backends.hermes import HermesBackend
from agent.adapters.backends.openai.family import ConfiguredChat
from agent.adapters.backends.shell import ShellBackend
from agent.adapters.backends.terminal import TerminalBackend
from agent.errors import BackendFailed
from agent.ports import (
    Asked,
    Backend,
    BackendConfig,
    BackendEvent,
    BackendType,
    Described,
    Exited,
    Finished,
    Said,
    Start,
    Tail,
    Withdrew,
)
from agent.protocol.events import RequestKind
from agent.protocol.model import SessionId
from tests.adapters.backends.acp.agents import odd
from tests.adapters.backends.hermes.gateway import ScriptedGateway
from tests.adapters.backends.hermes.joining import QUICK, join
from tests.fakes.clock import settle
from tests.fakes.echo import EchoBackend
from tests.fakes.listener import Listener, finished, run, said
from tests.models import ModelServer

SESSION = SessionId(f"contract-{os.getpid()}")  # a backend may end whatever is marked with it, in other test runs too
LINES = r"""
import sys, time
while True:
    try:
        word, _, text = input().partition(" ")
        if word == "leave":
            sys.exit()
        if word == "hold":
            time.sleep(600)
        print({"say": text, "many": "abc\n" * 250000}[word], flush=True)
    except KeyboardInterrupt:
        pass
"""
"""A program that takes lines, for a backend that runs any."""


@dataclass(frozen=True)
class Kind:
    """A backend under test, and how it is told to do what the contract is about.

    Not all can do all; a test takes those that can.
    """

    make: Callable[[str], BackendType]  # with the address of a model server, if it has a `model`
    say: str  # then the text
    hold: str
    many: str  # at least 200 pieces or 1 MB
    ask: str = ""  # empty: it never asks
    asks: RequestKind = "line"  # what it asks for
    leave: str = ""  # empty: it never ends by itself
    folder: bool = True  # whether it runs in a directory
    model: bool = False  # whether it talks to a model
    gateway: str = ""  # which generation of a scripted Hermes gateway it talks to
    command: tuple[str, ...] = ()  # the program that it runs


KINDS = {
    "echo": Kind(
        lambda _: EchoBackend(), say="", hold="@hold", many="@slow 200", ask="@ask line Name: ", leave="@exit"
    ),
    "commands": Kind(
        lambda _: CommandsBackend(),
        say="echo ",
        hold="sleep 600",
        many="yes abc | head -c 1000000",
        ask='read -p "Name: " n; echo got $n',
        leave="exit",
    ),
    "shell": Kind(
        lambda _: ShellBackend(),
        say="echo ",
        hold="sleep 600",
        many="yes abc | head -c 1000000",
        ask="""python3 -c 'print("got", input("Name: "))'""",
        leave="exit",
    ),
    "terminal": Kind(
        lambda _: TerminalBackend(),
        say="say ",
        hold="hold",
        many="many",
        leave="leave",
        command=(sys.executable, "-I", "-c", LINES),
    ),
    "acp": Kind(lambda _: odd(), say="say ", hold="hold", many="many 200", ask="ask Name: ", asks="choices"),
    "openai": Kind(
        lambda url: ConfiguredChat("one", BackendConfig(kind="openai", url=url), {}),
        say="model: text ",
        hold="model: wait for ever",
        many="model: say 200",
        folder=False,
        model=True,
    ),
    **{
        f"hermes-{generation}": Kind(
            lambda url: HermesBackend(join(url), timeouts=QUICK),
            say="",
            hold="@hold",
            many="@many",
            ask="@ask Name: ",
            leave="@leave",
            gateway=generation,
        )
        for generation in ("older", "newer")
    },
}
THAT_ASK = [name for name, kind in KINDS.items() if kind.ask]
THAT_LEAVE = [name for name, kind in KINDS.items() if kind.leave]
IN_A_FOLDER = [name for name, kind in KINDS.items() if kind.folder]


@pytest.fixture(params=KINDS)
async def kind(request: pytest.FixtureRequest) -> AsyncIterator[Kind]:
    found = KINDS[request.param]
    if found.gateway:
        async with ScriptedGateway(newer=found.gateway == "newer").running() as gateway:
            yield replace(found, make=lambda _: found.make(gateway.url))
        return
    if not found.model:
        yield found
        return
    async with ModelServer() as models:
        yield replace(found, make=lambda _: found.make(models.url))


@pytest.fixture
def listener() -> Listener:
    return Listener()


async def begin(kind: Kind, listener: Listener) -> Backend:
    """A backend that was started; meanwhile it may only have described itself."""
    started = await kind.make("").start(Start(session=SESSION, command=kind.command), listener.emit)
    while not listener.silent():
        assert isinstance(await listener.next(), Described)
    return started


@pytest.fixture
async def backend(kind: Kind, listener: Listener) -> AsyncIterator[Backend]:
    started = await begin(kind, listener)
    yield started
    await started.close()


def test_it_says_what_it_is(kind: Kind) -> None:
    made = kind.make("")
    assert made.name
    assert made.description
    assert made.missing() == ""


async def test_a_prompt_is_answered_and_the_turn_ends(kind: Kind, backend: Backend, listener: Listener) -> None:
    events = await run(backend, listener, f"{kind.say}hello there")
    assert said(events).strip() == "hello there"
    assert finished(events).status == "complete"


async def test_two_turns_follow_each_other(kind: Kind, backend: Backend, listener: Listener) -> None:
    for word in ("one", "two"):
        assert said(await run(backend, listener, f"{kind.say}{word}")).strip() == word


async def test_the_next_prompt_may_come_while_the_end_of_the_last_is_told(kind: Kind) -> None:
    listener = Listener()
    started: list[Backend] = []

    async def emit(event: BackendEvent) -> None:
        if isinstance(event, Finished) and listener.taken < 50:
            await started[0].prompt(f"{kind.say}next")
            listener.taken += 50
        await listener.emit(event)

    started.append(await kind.make("").start(Start(session=SESSION, command=kind.command), emit))
    assert said(await run(started[0], listener, f"{kind.say}first")).strip() == "first"
    assert said(await listener.turn()).strip() == "next"
    await started[0].close()


async def test_any_text_comes_back_whole(kind: Kind, backend: Backend, listener: Listener) -> None:
    text = "žluťoučký kůň 漢字 🐎"
    assert said(await run(backend, listener, f"{kind.say}{text}")).strip() == text


async def test_an_interrupt_without_a_turn_does_nothing(kind: Kind, backend: Backend, listener: Listener) -> None:
    await backend.interrupt()
    await settle()
    assert listener.silent()
    assert finished(await run(backend, listener, f"{kind.say}x")).status == "complete"
    await backend.interrupt()
    assert finished(await run(backend, listener, f"{kind.say}x")).status == "complete"


async def test_an_interrupt_ends_the_turn(kind: Kind, backend: Backend, listener: Listener) -> None:
    await backend.prompt(kind.hold)
    await settle()
    await backend.interrupt()
    assert finished(await listener.turn()).status == "interrupted"
    assert said(await run(backend, listener, f"{kind.say}again")).strip() == "again"


@pytest.mark.parametrize("kind", THAT_ASK, indirect=True)
async def test_what_a_person_answers_reaches_the_program(kind: Kind, backend: Backend, listener: Listener) -> None:
    await backend.prompt(kind.ask)
    asked = await listener.until_asked()
    assert (asked.kind, asked.prompt) == (kind.asks, "Name: ")
    await backend.answer("no-such-request", "wrong")
    await backend.answer(asked.request_id, "Ada")
    events = await listener.turn()
    assert said(events).strip().endswith("got Ada")
    assert finished(events).status == "complete"
    await backend.answer(asked.request_id, "too late")  # no error


@pytest.mark.parametrize("kind", THAT_ASK, indirect=True)
async def test_a_question_that_is_no_longer_asked_is_withdrawn(
    kind: Kind, backend: Backend, listener: Listener
) -> None:
    await backend.prompt(kind.ask)
    asked = await listener.until_asked()
    await backend.interrupt()
    events = await listener.turn()
    assert [event.request_id for event in events if isinstance(event, Withdrew)] == [asked.request_id]
    assert finished(events).status == "interrupted"


@pytest.mark.parametrize("kind", THAT_ASK, indirect=True)
async def test_every_question_has_its_own_id(kind: Kind, backend: Backend, listener: Listener) -> None:
    ids = set()
    for _ in range(3):
        await backend.prompt(kind.ask)
        asked = await listener.until_asked()
        ids.add(asked.request_id)
        await backend.answer(asked.request_id, "Ada")
        await listener.turn()
    assert len(ids) == 3


async def test_it_waits_for_who_listens(kind: Kind) -> None:
    listener = Listener(room=1)
    backend = await begin(kind, listener)
    listener.taken = 0
    await backend.prompt(kind.many)
    first = await listener.next()
    assert isinstance(first, Said | Tail)
    for _ in range(10):
        await settle()
    assert listener.taken <= 3  # one in hand, one waiting, one in `emit`
    await listener.turn()
    await backend.close()


@pytest.mark.parametrize("kind", THAT_LEAVE, indirect=True)
async def test_the_end_of_the_program_is_told_and_it_takes_no_more(
    kind: Kind, backend: Backend, listener: Listener
) -> None:
    end = (await run(backend, listener, kind.leave))[-1]
    assert isinstance(end, Exited)
    assert end.status == "ended"
    with pytest.raises(BackendFailed):
        await backend.prompt(f"{kind.say}x")
    await backend.interrupt()


async def test_nothing_is_told_after_close_and_closing_twice_is_once(
    kind: Kind, backend: Backend, listener: Listener
) -> None:
    await backend.prompt(kind.hold)
    await settle()
    await asyncio.gather(backend.close(), backend.close())
    await backend.close()
    await backend.interrupt()
    await settle()
    assert listener.silent()
    with pytest.raises(BackendFailed):
        await backend.prompt(f"{kind.say}x")


@pytest.mark.parametrize("kind", THAT_ASK, indirect=True)
async def test_closing_from_within_emit_is_no_deadlock(kind: Kind) -> None:
    started: list[Backend] = []
    told: asyncio.Queue[object] = asyncio.Queue()

    async def emit(event: object) -> None:
        if isinstance(event, Asked):
            await started[0].close()
        await told.put(event)

    started.append(await kind.make("").start(Start(session=SESSION, command=kind.command), emit))
    await started[0].prompt(kind.ask)
    async with asyncio.timeout(20):
        while not isinstance(await told.get(), Asked):
            pass
    await started[0].close()
    assert told.empty()


@pytest.mark.parametrize("kind", IN_A_FOLDER, indirect=True)
async def test_a_directory_that_is_not_there_is_named(kind: Kind, listener: Listener) -> None:
    with pytest.raises(BackendFailed, match="no such directory: /no/such/directory"):
        await kind.make("").start(Start(session=SESSION, command=kind.command, cwd="/no/such/directory"), listener.emit)
