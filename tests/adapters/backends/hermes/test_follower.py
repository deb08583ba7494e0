"""The Hermes hub with a scripted gateway: attach, share, take over, reconnect, answer once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.adapters.backends.hermes import HermesBackend, keepalive
from agent.adapters.backends.hermes.history import GOES_ON
from agent.adapters.backends.hermes.keepalive import KeptSessions, SessionsToKeep
from agent.adapters.backends.hermes.wire import LiveSession
from agent.errors import BackendFailed
from agent.ports import (
    Asked,
    Backend,
    Described,
    Emit,
    Exchange,
    LetsGo,
    Offer,
    Prompted,
    Start,
    ToolFinished,
    Withdrew,
)
from agent.protocol.model import SessionId
from tests.adapters.backends.hermes.gateway import LEAK, TOKEN, Live, ScriptedGateway
from tests.adapters.backends.hermes.joining import QUICK, join
from tests.fakes.listener import Listener, finished, run, said

GENERATIONS = pytest.mark.parametrize("newer", [False, True], ids=["older", "newer"])


class Bench:
    """A scripted gateway, and a backend that watches it."""

    def __init__(self, gateway: ScriptedGateway, backend: HermesBackend) -> None:
        self.gateway, self.backend = gateway, backend
        self.offers: list[Offer] = []
        self._told = asyncio.Event()

    async def offered(self, offers: Sequence[Offer]) -> None:
        self.offers = list(offers)
        self._told.set()

    async def until_offered(self, *keys: str) -> None:
        async with asyncio.timeout(10):
            while [offer.key for offer in self.offers] != list(keys):
                self._told.clear()
                await self._told.wait()

    async def found(self, session: Live, emit: Emit) -> Backend:
        start = Start(session=SessionId("f"), found=True, lineage=(session.stored,))
        return await self.backend.start(start, emit)

    async def taken(self, session: Live, emit: Emit, *log: Exchange) -> Backend:
        """One that was taken from its window before this service was restarted; `log` is what it has of it."""

        async def history(characters: int) -> list[Exchange]:
            return list(log)

        lineage = (f"taken-{session.stored}", session.stored)
        start = Start(session=SessionId("f"), restored=True, lineage=lineage, history=history)
        return await self.backend.start(start, emit)


@asynccontextmanager
async def bench(*, newer: bool = False, remote_secrets: bool = False) -> AsyncIterator[Bench]:
    async with ScriptedGateway(newer=newer).running() as gateway:
        found = Bench(gateway, HermesBackend(join(gateway.url, remote_secrets=remote_secrets), timeouts=QUICK))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(found.backend.watch(found.offered), name="test.watch")
            try:
                yield found
            finally:
                task.cancel()


async def let_go(backend: Backend) -> None:
    assert isinstance(backend, LetsGo)
    await backend.let_go()


async def new(there: Bench, listener: Listener) -> Backend:
    return await there.backend.start(Start(session=SessionId("n")), listener.emit)


async def test_a_gateway_that_writes_frames_its_own_way_is_understood() -> None:
    async with ScriptedGateway().running() as gateway:
        gateway.odd = True
        backend, listener = HermesBackend(join(gateway.url), timeouts=QUICK), Listener()
        session = await backend.start(Start(session=SessionId("n")), listener.emit)
        assert isinstance(await listener.next(), Described)
        assert said(await run(session, listener, "hello")) == "hello"
        await let_go(session)


# --- the list ---------------------------------------------------------------------------------------------------------


@GENERATIONS
async def test_live_sessions_are_offered_by_their_durable_id_and_go_when_they_end(newer: bool) -> None:
    async with bench(newer=newer) as there:
        one, two = there.gateway.open(title="One"), there.gateway.open(title="Two")
        await there.until_offered(one.stored, two.stored)
        assert [offer.title for offer in there.offers] == ["One", "Two"]
        del there.gateway.sessions[one.live]
        await there.until_offered(two.stored)


async def test_what_was_started_from_here_is_not_found() -> None:  # R2
    async with bench() as there:
        listener = Listener()
        session = await new(there, listener)
        told = await listener.next()
        live = there.gateway.only()
        assert isinstance(told, Described)
        assert told.lineage == (live.live, live.stored)
        other = there.gateway.open()
        await there.until_offered(other.stored)
        await let_go(session)


async def test_a_condensed_conversation_stays_the_same_session() -> None:  # S11
    async with bench(newer=True) as there:
        live, listener = there.gateway.open(), Listener()
        old = live.stored
        await there.until_offered(old)
        session = await there.found(live, listener.emit)
        live.stored = "20261122_171719_ffffff"
        event = await listener.next()
        while not isinstance(event, Described) or live.stored not in event.lineage:
            event = await listener.next()
        assert event.lineage[-1] == live.stored
        assert [offer.key for offer in there.offers] == [old]
        await let_go(session)


# --- attaching --------------------------------------------------------------------------------------------------------


@GENERATIONS
@pytest.mark.parametrize("cut", range(1, 40, 6))
async def test_attaching_in_the_middle_is_exact(newer: bool, cut: int) -> None:  # S4
    text = "".join(f"{number} " for number in range(cut + 3)) + "\n žluť 漢字 🐎 end"
    async with bench(newer=newer) as there:
        live, listener = there.gateway.open(), Listener()
        await there.gateway.prompted_there(live, f"@wait {text}")
        await there.until_offered(live.stored)
        await there.gateway.until(lambda: live.inflight and live.inflight["assistant"])
        live.go.set()  # it streams while one attaches
        if newer:
            session, prompt = await there.found(live, listener.emit), f"@wait {text}"
        else:  # our own prompt, of before this service was restarted
            session, prompt = await there.taken(live, listener.emit, Exchange(f"@wait {text}", "")), GOES_ON
        events = await listener.turn()
        assert [event.text for event in events if isinstance(event, Prompted)] == [prompt]
        assert said(events).strip() == text.strip()
        await let_go(session)


@pytest.mark.parametrize(("text", "twice"), [("ab", "a"), ("aa", ""), ("hahaha", ""), ("word, more", "word,")])
async def test_a_piece_that_was_in_what_we_came_into_is_not_told_again(text: str, twice: str) -> None:  # S4
    # Hermes 0.19 notes a piece before it looks whom to send it.
    async with bench() as there:
        live, listener = there.gateway.open(), Listener()
        await there.gateway.prompted_there(live, f"@wait {text}")
        await there.until_offered(live.stored)
        await there.gateway.until(lambda: live.inflight and live.inflight["assistant"])
        session = await there.taken(live, listener.emit, Exchange(f"@wait {text}", ""))
        if twice:
            await there.gateway.emit(live, "message.delta", {"text": twice})
        live.go.set()
        assert said(await listener.turn()) == text
        await let_go(session)


async def test_a_reply_that_begins_as_the_one_before_ended_is_whole() -> None:  # S4
    async with bench() as there:
        live, listener = there.gateway.open(), Listener()
        await there.gateway.prompted_there(live, "@wait aa")
        await there.until_offered(live.stored)
        await there.gateway.until(lambda: live.inflight and live.inflight["assistant"])
        session = await there.taken(live, listener.emit, Exchange("@wait aa", ""))
        assert live.turn is not None
        live.turn.cancel()  # nothing more of it is said
        assert said(await listener.turn()) == "a"
        await session.prompt("@wait ab")
        await there.gateway.until(lambda: live.inflight and live.inflight["assistant"])
        live.go.set()
        assert said(await listener.turn()) == "ab"
        await let_go(session)


@GENERATIONS
async def test_the_past_is_told_once(newer: bool) -> None:
    messages = [
        {"role": "user", "text": "one"},
        {"role": "assistant", "text": "first"},
        {"role": "tool", "name": "terminal", "context": "Running ls"},
        {"role": "assistant", "text": "then"},
        {"role": "user", "text": "two"},
        {"role": "assistant", "text": "second"},
    ]

    async def history(characters: int) -> list[Exchange]:
        return [Exchange("one", "first then"), Exchange("two", "sec")]

    async with bench(newer=newer) as there:
        live = there.gateway.open(messages=messages)
        await there.until_offered(live.stored)
        listener = Listener()
        session = await there.found(live, listener.emit)
        one, two = await listener.turn(), await listener.turn()
        assert [said(each) for each in (one, two)] == ["firstthen", "second"]
        assert sum(isinstance(event, ToolFinished) for event in one) == 1
        await let_go(session)
        listener = Listener()
        start = Start(session=SessionId("f"), found=True, restored=True, lineage=(live.stored,), history=history)
        session = await there.backend.start(start, listener.emit)
        events = await listener.turn()
        assert said(events) == "ond"
        assert listener.silent()
        await let_go(session)


@GENERATIONS
async def test_who_leaves_takes_nothing_along(newer: bool) -> None:  # S6
    async with bench(newer=newer) as there:
        live, listener = there.gateway.open(), Listener()
        await there.until_offered(live.stored)
        session = await there.taken(live, listener.emit)
        await let_go(session)
        there.backend._hub._left.clear()  # nobody is left here that would have it held
        assert there.gateway.called("session.close") == []
        assert len(there.gateway.sockets) == 1  # the one that is held


# --- sessions that another window drives ------------------------------------------------------------------------------


async def test_a_session_of_a_window_is_read_and_not_taken() -> None:
    async with bench() as there:
        live, listener = there.gateway.open(), Listener()
        await there.until_offered(live.stored)
        session = await there.found(live, listener.emit)
        await there.gateway.prompted_there(live, "typed there")
        events = await listener.turn()
        assert [event.text for event in events if isinstance(event, Prompted)] == ["typed there"]
        assert said(events) == "typed there"
        assert {"session.activate", "session.resume", "prompt.submit"}.isdisjoint(
            name for name, _ in there.gateway.calls
        )
        await session.close()
        await there.until_offered()  # closed here: shown no more, and it goes on
        assert there.gateway.called("session.close") == []


async def test_taking_a_session_is_asked_and_said_on_both_sides() -> None:
    async with bench() as there:
        live, listener = there.gateway.open(), Listener()
        await there.until_offered(live.stored)
        session = await there.found(live, listener.emit)
        await session.prompt("from here")
        asked = await listener.until_asked()
        assert "stops that window from updating" in asked.prompt
        await session.answer(asked.request_id, "leave")
        assert finished(await listener.turn()).status == "interrupted"
        assert there.gateway.called("prompt.submit") == []
        await session.prompt("from here")
        await session.answer((await listener.until_asked()).request_id, "take")
        events = await listener.turn()
        assert said(events) == "from here"
        told = [event for event in events if isinstance(event, Described) and event.notice]
        assert [bool(event.note) for event in told] == [True]
        assert any(f"taken-{live.stored}" in event.lineage for event in events if isinstance(event, Described))
        assert said(await run(session, listener, "again")) == "again"  # not asked any more
        await session.close()
        assert there.gateway.called("session.close") == [{"session_id": live.live}]  # what was taken is ours to end


async def test_a_prompt_that_waits_for_leave_to_take_may_be_interrupted() -> None:
    async with bench() as there:
        live, listener = there.gateway.open(), Listener()
        await there.until_offered(live.stored)
        session = await there.found(live, listener.emit)
        await session.prompt("from here")
        asked = await listener.until_asked()
        await session.interrupt()
        events = await listener.turn()
        assert Withdrew(asked.request_id, "the turn was interrupted") in events
        assert finished(events).status == "interrupted"
        await let_go(session)


async def test_a_window_that_prompts_again_has_it_again() -> None:
    async with bench() as there:
        live, listener = there.gateway.open(), Listener()
        await there.until_offered(live.stored)
        session = await there.taken(live, listener.emit)
        await run(session, listener, "ours")
        await there.gateway.prompted_there(live, "theirs")
        events = await listener.turn()
        assert said(events) == "theirs"
        assert any(isinstance(event, Described) and "again" in event.note for event in events)
        await session.prompt("ours again")
        assert (await listener.until_asked()).kind == "choices"
        await let_go(session)


async def test_one_that_its_window_prompted_while_this_service_was_away_is_not_taken_unasked() -> None:  # A5
    said_there = [{"role": "user", "text": "theirs"}, {"role": "assistant", "text": "said there"}]
    ours = [{"role": "user", "text": "ours"}, {"role": "assistant", "text": "said here"}]
    async with bench() as there:
        live, listener = there.gateway.open(messages=[*ours, *said_there]), Listener()
        await there.until_offered(live.stored)
        session = await there.taken(live, listener.emit, Exchange("ours", "said here"))
        assert said(await listener.turn()) == "said there"
        assert there.gateway.called("session.activate") == []
        await session.prompt("ours again")
        await session.answer((await listener.until_asked()).request_id, "take")
        assert said(await listener.turn()) == "ours again"
        await let_go(session)


async def test_one_that_was_taken_is_brought_back_when_its_gateway_was_started_again() -> None:  # S11
    async with bench() as there:
        live, listener = there.gateway.open(), Listener()
        await there.until_offered(live.stored)
        session = await there.found(live, listener.emit)
        await session.prompt("one")
        await session.answer((await listener.until_asked()).request_id, "take")
        events = await listener.turn()
        assert any(isinstance(event, Described) and event.ours for event in events)
        there.gateway.kill()
        await there.gateway.hang_up()
        assert said(await run(session, listener, "two")) == "two"
        assert [call["session_id"] for call in there.gateway.called("session.resume")] == [live.stored]
        await let_go(session)


async def test_one_that_was_taken_and_runs_no_more_is_resumed_by_the_next_prompt() -> None:  # S11
    async with bench() as there:
        live, listener = there.gateway.open(), Listener()
        there.gateway.kill()
        session = await there.taken(live, listener.emit)
        assert said(await run(session, listener, "on")) == "on"
        await let_go(session)


async def test_one_that_was_taken_is_held_when_this_service_stops_until_its_window_has_it() -> None:
    async with ScriptedGateway().running() as gateway:
        live = gateway.open()
        kept = SessionsToKeep(base=gateway.url, token=TOKEN, sessions=(live.live, "gone"), look=0.05)
        await keepalive.start(kept)
        assert len(live.slot) == 1  # somebody has its events: stock Hermes ends it no more
        (holder,) = live.slot
        await gateway.until(lambda: len(gateway.called("session.active_list")) > 4)
        assert live.slot == {holder}
        await gateway.prompted_there(live, "theirs")
        await gateway.until(lambda: holder not in gateway.sockets)  # and its work is done


def test_events_that_came_behind_a_list_count_for_the_next_one() -> None:
    # The list and what follows it may be read at once, and then the list is looked at last.
    def row(last_active: float) -> dict[str, LiveSession]:
        return {"live": LiveSession(id="live", last_active=last_active)}

    owned = KeptSessions(row(1.0))
    owned.heard("live")
    owned.look(row(1.0))
    owned.look(row(2.0))
    owned.look(row(2.0))
    assert owned.sessions == row(2.0)
    owned.look(row(3.0))
    owned.look(row(4.0))
    assert not owned.sessions  # used twice without a word to us


async def test_a_turn_that_runs_on_while_it_is_held_is_no_sign_of_a_window() -> None:
    async with ScriptedGateway().running() as gateway:
        live = gateway.open()
        await gateway.prompted_there(live, "@wait one two three four")
        await keepalive.start(SessionsToKeep(base=gateway.url, token=TOKEN, sessions=(live.live,), look=0.05))
        (holder,) = live.slot
        live.go.set()
        await gateway.until(lambda: live.status == "idle")
        seen = len(gateway.called("session.active_list"))
        await gateway.until(lambda: len(gateway.called("session.active_list")) > seen + 4)
        assert live.slot == {holder}
        gateway.kill()
        await gateway.until(lambda: holder not in gateway.sockets)  # nothing left to hold


@pytest.mark.parametrize("works", [True, False], ids=["a scope", "no scope to be had"])
async def test_under_systemd_it_is_held_outside_of_the_unit_if_that_can_be(
    works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "systemd-run"
    rest = 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"' if works else "exit 1"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n{rest}\n')
    program.chmod(0o755)
    monkeypatch.setenv("INVOCATION_ID", "1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    async with ScriptedGateway().running() as gateway:
        live = gateway.open()
        await keepalive.start(SessionsToKeep(base=gateway.url, token=TOKEN, sessions=(live.live,), look=0.05))
        assert len(live.slot) == 1
        asked = (tmp_path / "asked").read_text()
        assert asked.startswith("--user --scope")
        assert TOKEN not in asked  # T7


async def test_only_what_was_taken_from_a_window_is_held() -> None:
    async with bench() as there:
        listener, other = Listener(), Listener()
        started = await new(there, listener)
        live = there.gateway.open()
        await there.until_offered(live.stored)
        taken = await there.taken(live, other.emit)
        hub = there.backend._hub
        await let_go(started)
        await let_go(taken)
        assert hub._left == {live.live}
        hub._left.clear()


async def test_newer_gateways_are_joined_without_asking() -> None:
    async with bench(newer=True) as there:
        live, listener = there.gateway.open(), Listener()
        await there.until_offered(live.stored)
        session = await there.found(live, listener.emit)
        assert said(await run(session, listener, "from here")) == "from here"
        await there.gateway.prompted_there(live, "typed there")
        events = await listener.turn()
        assert [event.text for event in events if isinstance(event, Prompted)] == ["typed there"]
        await session.close()
        assert there.gateway.called("session.close") == []  # a person may be using it


# --- lost connections -------------------------------------------------------------------------------------------------


@GENERATIONS
async def test_a_connection_that_breaks_loses_and_repeats_nothing(newer: bool) -> None:  # S4
    text = "one two three four five six seven"
    async with bench(newer=newer) as there:
        listener = Listener()
        session = await new(there, listener)
        live = there.gateway.only()
        await session.prompt(f"@wait {text}")
        half = await listener.until_said("one two")
        await there.gateway.hang_up()
        live.go.set()
        rest = await listener.turn()
        assert half + said(rest) == text
        assert finished(rest).status == "complete"
        await let_go(session)


@GENERATIONS
async def test_a_gateway_that_was_restarted_has_its_sessions_brought_back(newer: bool) -> None:
    async with bench(newer=newer) as there:
        listener = Listener()
        session = await new(there, listener)
        await run(session, listener, "before")
        await session.prompt("@hold")
        await there.gateway.until(lambda: there.gateway.only().inflight)
        old = there.gateway.only()
        there.gateway.epoch = "epoch-2"
        there.gateway.kill()
        await there.gateway.hang_up()
        assert finished(await listener.turn()).status == "error"
        assert said(await run(session, listener, "after")) == "after"
        assert there.gateway.only().stored == old.stored
        assert there.gateway.only().live != old.live
        await let_go(session)


async def test_a_gateway_that_is_gone_is_told_with_what_to_do() -> None:
    listener, gateway = Listener(), ScriptedGateway()
    async with gateway.running():
        backend = HermesBackend(join(gateway.url), timeouts=replace(QUICK, reach=0.2))
        session = await backend.start(Start(session=SessionId("n")), listener.emit)
        await session.prompt("@hold")
        await gateway.until(lambda: bool(gateway.only().inflight))
    hint = "start it there, or correct url in [backends.hermes]"
    running = finished(await listener.turn())
    assert (running.status, running.error) == ("error", f"the Hermes gateway is gone; {hint}")
    later = finished(await run(session, listener, "anybody?"))
    told = f"no Hermes gateway answers at port {gateway.port} of that device; {hint}"
    assert (later.status, later.error) == ("error", told)
    await let_go(session)


async def test_a_gateway_that_is_stuck_is_reached_anew() -> None:
    async with bench() as there:
        listener = Listener()
        session = await new(there, listener)
        there.gateway.mute = True
        held = set(there.gateway.sockets)
        await there.gateway.until(lambda: not there.gateway.sockets & held)
        there.gateway.mute = False
        assert said(await run(session, listener, "again")) == "again"
        await let_go(session)


async def test_a_turn_whose_end_nobody_told_is_over() -> None:
    async with bench() as there:
        listener = Listener()
        session = await new(there, listener)
        assert finished(await run(session, listener, "@silent")).status in {"complete", "error"}
        assert said(await run(session, listener, "next")) == "next"
        await let_go(session)


# --- questions --------------------------------------------------------------------------------------------------------


@GENERATIONS
async def test_each_approval_gets_its_own_answer_and_only_one(newer: bool) -> None:  # S9
    async with bench(newer=newer) as there:
        listener = Listener()
        session = await new(there, listener)
        await session.prompt("@approve ls rm")
        answers = {"ls": "once", "rm": "deny"}
        for _ in answers:
            asked = await listener.until_asked()
            await asyncio.gather(*(session.answer(asked.request_id, answers[asked.detail]) for _ in range(3)))
        assert said(await listener.turn()) == "ls=once rm=deny"
        answered = there.gateway.called("approval.respond") or there.gateway.answers
        assert len(answered) == 2
        await let_go(session)


async def test_one_approval_at_a_time_is_asked_of_older_gateways() -> None:
    async with bench() as there:
        listener = Listener()
        session = await new(there, listener)
        await session.prompt("@approve ls rm")
        await there.gateway.until(lambda: len(there.gateway.only().waiting) == 2)
        first = await listener.until_asked()
        assert first.detail == "ls"
        assert not any(isinstance(event, Asked) for event in await drained(listener))
        await session.answer(first.request_id, "once")
        assert (await listener.until_asked()).detail == "rm"
        await let_go(session)


@GENERATIONS
async def test_choices_are_answered_with_their_words(newer: bool) -> None:
    async with bench(newer=newer) as there:
        listener = Listener()
        session = await new(there, listener)
        await session.prompt("@choose colour? red blue")
        asked = await listener.until_asked()
        assert [choice.name for choice in asked.choices] == ["red", "blue"]
        await session.answer(asked.request_id, "blue")
        assert said(await listener.turn()) == "got blue"
        await let_go(session)


@GENERATIONS
@pytest.mark.parametrize("word", ["@sudo", "@secret"])
@pytest.mark.parametrize("allowed", [False, True])
async def test_passwords_are_for_the_device_itself_unless_allowed(newer: bool, word: str, allowed: bool) -> None:
    async with bench(newer=newer, remote_secrets=allowed) as there:
        listener = Listener()
        session = await new(there, listener)
        await session.prompt(word)
        asked = await listener.until_asked()
        assert (asked.kind, asked.local) == ("secret", not allowed)
        await session.answer(asked.request_id, "hunter2")
        assert said(await listener.turn()) == "got 7"
        await let_go(session)


# --- what leaves ------------------------------------------------------------------------------------------------------


@GENERATIONS
async def test_nothing_leaks(newer: bool) -> None:  # T7, T10
    async with bench(newer=newer) as there:
        listener = Listener()
        session = await new(there, listener)
        live = there.gateway.only()
        events = [*await run(session, listener, "@tool"), *await run(session, listener, "@error")]
        for kind in ("status.update", "notification.show", "review.summary", "subagent.start", "session.info", "x.y"):
            await there.gateway.emit(live, kind, {"text": LEAK, "cwd": LEAK, "config": {"api_key": LEAK}})
        events += await run(session, listener, "last")
        inspected = await there.backend.inspect()
        assert LEAK not in repr(events) + repr(inspected) + repr(there.offers)
        there.gateway.sessions.clear()
        with pytest.raises(BackendFailed) as caught:
            await there.backend.start(Start(session=SessionId("x"), restored=True, lineage=("gone",)), listener.emit)
        assert LEAK not in str(caught.value) + caught.value.hint
        await let_go(session)


@GENERATIONS
async def test_only_what_is_allowed_is_called(newer: bool) -> None:
    from agent.adapters.backends.hermes.wire import ALLOWED, encode
    from agent.protocol.jsonrpc import request

    async with bench(newer=newer) as there:
        listener = Listener()
        session = await new(there, listener)
        await run(session, listener, "hello")
        await session.close()
        assert {name for name, _ in there.gateway.calls} <= ALLOWED
    for method in ("shell.exec", "config.get", "cli.exec", "session.delete", "slash.exec", "model.save_key"):
        with pytest.raises(BackendFailed):
            encode(request("a1", method, {}))


async def drained(listener: Listener) -> list[object]:
    events: list[object] = []
    while not listener.silent():
        events.append(await listener.next())
    return events
