"""sessions.host: a gateway's own sessions with a real store behind and clients in front."""

from __future__ import annotations

from itertools import count

import pytest

from agent.adapters.net.link import QUEUE_MAX
from agent.errors import BackendFailed, BadParams, RequestNotFound, SessionEnded, SessionNotFound, StoreFull, TooLarge
from agent.protocol.codec import FRAME_OUT_MAX
from agent.protocol.events import Event, MessageComplete, TurnComplete, UserMessage
from agent.protocol.messages import (
    AnswerRequest,
    Attach,
    CreateSession,
    Detach,
    EventOf,
    History,
    Interrupt,
    Page,
    ParticipantsChanged,
)
from agent.protocol.model import Sender, Status
from agent.sessions.creation import PROMPT_MAX
from tests.fakes.clock import settle, turns
from tests.fakes.desk import ME, PHONE, FullDisk, attach, running, submit, whole_log
from tests.fakes.transcripts import MemoryTranscripts


async def test_a_new_session_is_starting_then_idle() -> None:  # S10
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(title="  hello\x1b[2J "), ME)
        assert desk.history == [Status.STARTING, Status.IDLE] or desk.history[-1] is Status.IDLE
        row = desk.rows[session]
        assert (row.title, row.backend, row.local, row.attachable) == ("hello[2J", "echo", True, True)


async def test_a_command_is_the_first_prompt() -> None:
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(command=("echo", "a b")), ME)
        await settle()
        assert desk.echo.sessions[0].prompts == ["echo 'a b'"]
        assert any(event.type == "message.user" for event in await whole_log(desk, session))


async def test_what_cannot_start_leaves_nothing() -> None:  # L6
    async with running() as desk:
        with pytest.raises(BackendFailed, match="no such directory"):
            await desk.sessions.create(CreateSession(cwd="/no/such/directory"), ME)
        with pytest.raises(BadParams, match="no backend 'vim'"):
            await desk.sessions.create(CreateSession(backend="vim"), ME)
        await settle()
        assert desk.rows == {}


async def test_a_viewer_gets_snapshot_then_everything_after_it() -> None:  # S4
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        await submit(desk, session, "one two")
        await settle()
        async with desk.viewer() as viewer:
            attached = await attach(viewer, session)
            assert attached.snapshot is not None
            assert [event.type for event in attached.snapshot.events][-3:] == [
                "message.start",
                "message.complete",
                "turn.complete",
            ]
            await submit(desk, session, "three")
            await viewer.until("turn.complete")
            assert viewer.seqs() == list(range(attached.seq + 1, attached.seq + 1 + len(viewer.seqs())))


async def test_a_client_that_comes_back_gets_what_it_missed_once_in_order() -> None:  # S4
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        await submit(desk, session, "one two three")
        await settle()
        everything = [event.seq for event in await whole_log(desk, session)]
        for after in range(len(everything) + 1):
            async with desk.viewer() as viewer:
                epoch = (await attach(viewer, session)).epoch
                attached = await attach(viewer, session, after, epoch)
                await settle()
                assert attached.resumed
                assert attached.snapshot is None
                assert viewer.seqs() == everything[after:]


async def test_resuming_in_the_middle_of_a_stream_loses_nothing() -> None:  # S4
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        async with desk.viewer() as first:
            epoch = (await attach(first, session)).epoch
            await submit(desk, session, "@slow 20")
            await desk.clock.advance(7.0)
            seen = first.seqs()[-1]
        await desk.clock.advance(4.0)
        async with desk.viewer() as again:
            await attach(again, session, seen, epoch)
            await desk.clock.advance(30.0)
            await again.until("turn.complete")
            assert (
                first.seqs() + again.seqs()
                == [event.seq for event in await whole_log(desk, session)][-len(first.seqs() + again.seqs()) :]
            )
            assert again.seqs()[0] == seen + 1


async def test_another_life_of_the_log_starts_from_a_snapshot() -> None:  # S4
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        async with desk.viewer() as viewer:
            attached = await attach(viewer, session, 1, "another epoch")
            assert attached.snapshot is not None
            assert not attached.resumed
            beyond = await attach(viewer, session, 99, attached.epoch)
            assert beyond.snapshot is not None


async def test_a_slow_viewer_is_cut_off_and_another_is_not_delayed() -> None:  # S5
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        async with desk.viewer() as slow, desk.viewer() as quick:
            await attach(slow, session)
            await attach(quick, session)
            slow.socket.other.stalled.clear()
            turns = 0
            while not slow.gone.is_set():
                turns += 1
                await submit(desk, session, "x" * 90_000, f"p{turns}")
                await quick.until("turn.complete", turns)
                assert turns < 3 * QUEUE_MAX / 90_000
            assert quick.seqs() == list(range(quick.seqs()[0], quick.seqs()[0] + len(quick.seqs())))


async def test_the_last_viewer_leaving_ends_nothing() -> None:  # S6
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        async with desk.viewer() as viewer:
            await attach(viewer, session)
            await submit(desk, session, "@slow 5")
            await desk.clock.advance(2.0)
        await desk.clock.advance(10.0)
        assert (await whole_log(desk, session))[-1].type == "turn.complete"


async def test_participants_are_devices_with_a_count_and_changes_are_told() -> None:  # S8
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        async with desk.viewer() as first:
            await attach(first, session)
            async with desk.viewer() as second:
                joined = await attach(second, session)
                await settle()
                assert [(p.device, p.count) for p in joined.participants] == [(PHONE, 2)]
                assert desk.rows[session].participants[0].count == 2
                assert second.told == []
            await settle()
            counts = [
                [(p.device, p.count) for p in told.participants]
                for _, told in first.told
                if isinstance(told, ParticipantsChanged)
            ]
            assert counts == [[(PHONE, 2)], [(PHONE, 1)]]
        await settle()
        assert desk.rows[session].participants == ()


async def test_a_proxy_tells_how_many_clients_it_speaks_for() -> None:  # S8
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        async with desk.viewer() as proxy:
            await proxy.channel.request("session.attach", Attach(session_id=session, viewers=3), seconds=5.0)
            assert desk.rows[session].participants[0].count == 3
            await proxy.channel.request("session.detach", Detach(session_id=session, viewers=2), seconds=5.0)
            assert desk.rows[session].participants[0].count == 2
            await submit(desk, session, "still here?")
            await proxy.until("turn.complete")


async def test_a_question_is_seen_by_who_attaches_while_it_is_open_and_answered_once() -> None:  # S9
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        await submit(desk, session, "@ask line your name?")
        await settle()
        assert desk.rows[session].status is Status.NEEDS_INPUT
        async with desk.viewer() as viewer:
            attached = await attach(viewer, session)
            assert [request.kind for request in attached.requests] == ["line"]
            phone = Sender(device=PHONE, name="phone")
            first = await desk.sessions.answer(AnswerRequest(session_id=session, answer="Ada"), phone)
            again = await desk.sessions.answer(
                AnswerRequest(session_id=session, answer="Bob", request_id=first.request_id), ME
            )
            retry = await desk.sessions.answer(
                AnswerRequest(session_id=session, answer="Ada", request_id=first.request_id), phone
            )
            assert (first.status, again.status, again.by, again.answer, retry.status) == (
                "accepted",
                "already-answered",
                phone,
                "Ada",
                "accepted",
            )
            await viewer.until("turn.complete")
            assert next(event.type for event in viewer.events) == "request.closed"
        assert desk.echo.sessions[0].answers == [(first.request_id, "Ada")]
        with pytest.raises(RequestNotFound):
            await desk.sessions.answer(AnswerRequest(session_id=session, answer="x"), ME)


async def test_an_interrupt_ends_the_turn_and_the_next_one_runs() -> None:  # S1
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        await submit(desk, session, "@hold")
        assert (await submit(desk, session, "next")).status == "queued"
        await settle()
        await desk.sessions.prompting.interrupt(Interrupt(session_id=session), ME)
        await settle()
        log = await whole_log(desk, session)
        statuses = [done.status for done in map(_payload, log) if isinstance(done, TurnComplete)]
        assert statuses == ["interrupted", "complete"]


async def test_a_full_disk_refuses_the_prompt_and_nothing_happened() -> None:  # S2
    store = FullDisk()
    async with running(store) as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        before = await whole_log(desk, session)
        store.full = True
        with pytest.raises(StoreFull):
            await submit(desk, session, "hello")
        assert await whole_log(desk, session) == before
        assert desk.echo.sessions[0].prompts == []
        store.full = False
        assert (await submit(desk, session, "hello")).status == "started"


async def test_output_waits_for_room_on_the_disk_and_is_shown_only_then() -> None:  # S2
    store = FullDisk()
    async with running(store) as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        async with desk.viewer() as viewer:
            await attach(viewer, session)
            await submit(desk, session, "@slow 3")
            store.full = True
            await desk.clock.advance(5.0)
            assert "message.delta" not in [event.type for event in viewer.events]
            with pytest.raises(StoreFull):
                await submit(desk, session, "more")
            store.full = False
            await desk.clock.advance(5.0)
            await viewer.until("turn.complete")
            assert viewer.seqs() == [event.seq for event in await whole_log(desk, session)][-len(viewer.seqs()) :]


async def test_after_a_restart_nothing_accepted_is_lost_and_nothing_runs_twice() -> None:  # S3
    store, ids = MemoryTranscripts(), count(1)
    async with running(store, ids) as desk:
        session = await desk.sessions.create(CreateSession(title="kept"), ME)
        await submit(desk, session, "done before", "a")
        await settle()
        await submit(desk, session, "@hold", "b")
        await submit(desk, session, "waits", "c")
        await settle()
    async with running(store, ids) as desk:
        await settle()
        assert desk.rows[session].title == "kept"
        assert desk.echo.sessions[0].prompts == ["waits"]
        assert desk.echo.sessions[0].start.restored
        for prompt_id in "abc":
            assert (await submit(desk, session, "whatever", prompt_id)).status == "duplicate"
        statuses = [d.status for d in map(_payload, await whole_log(desk, session)) if isinstance(d, TurnComplete)]
        assert statuses == ["complete", "interrupted", "complete"]
        seqs = [event.seq for event in await whole_log(desk, session)]
        assert seqs == list(range(1, len(seqs) + 1))


async def test_a_reply_cut_short_by_a_restart_keeps_what_was_shown() -> None:  # S2, S3
    store, ids = MemoryTranscripts(), count(1)
    async with running(store, ids) as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        async with desk.viewer() as viewer:
            await attach(viewer, session)
            await submit(desk, session, "@slow 10")
            await desk.clock.advance(4.0)
            shown = "".join(
                p.text for p in viewer.payloads() if p is not None and hasattr(p, "part") and hasattr(p, "text")
            )
            assert shown
    async with running(store, ids) as desk:
        whole = [p for p in map(_payload, await whole_log(desk, session)) if isinstance(p, MessageComplete)]
        assert (whole[-1].text, whole[-1].status) == (shown, "interrupted")


async def test_a_closed_session_is_unlisted_and_its_log_stays() -> None:
    store, ids = MemoryTranscripts(), count(1)
    async with running(store, ids) as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        await submit(desk, session, "hello")
        await settle()
        await desk.sessions.close(session, ME)
        assert desk.rows == {}
        assert desk.echo.sessions[0].closed
        with pytest.raises(SessionEnded):
            await submit(desk, session, "again")
    async with running(store, ids) as desk:
        assert desk.rows == {}
        page: Page = await desk.sessions.archive.history(History(session_id=session[:16]))
        assert any(isinstance(p, UserMessage) for p in map(_payload, page.events))
        with pytest.raises(SessionNotFound):
            await desk.sessions.archive.history(History(session_id="zzzz"))


async def test_a_session_that_ended_by_itself_stays_listed_until_it_is_closed() -> None:  # S10
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        await submit(desk, session, "@exit failed")
        await settle()
        assert desk.rows[session].status is Status.FAILED
        with pytest.raises(SessionEnded):
            await submit(desk, session, "more")
        await desk.sessions.close(session, ME)
        assert desk.rows == {}


async def test_a_prompt_too_large_says_so() -> None:
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        with pytest.raises(TooLarge):
            await submit(desk, session, "x" * (PROMPT_MAX + 1))


async def test_pages_of_history_join_without_gap() -> None:
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        for n in range(12):
            await submit(desk, session, f"prompt {n}")
            await settle()
        newest = await whole_log(desk, session)
        older = await desk.sessions.archive.history(History(session_id=session, before=newest[-1].seq + 1, limit=10))
        assert older.more
        assert older.events[-1].seq == newest[-1].seq
        assert older.first == newest[-10].seq  # though its events were left out, being shortened
        first = await desk.sessions.archive.history(History(session_id=session, before=3, limit=10))
        assert not first.more


async def test_a_long_way_back_is_sent_as_fast_as_it_is_read_and_cuts_nobody_off() -> None:  # S4, S5
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        for n in range(3 * QUEUE_MAX // 180_000):
            await submit(desk, session, "x" * 90_000, f"p{n}")
            await settle()
        last = (await desk.sessions.archive.history(History(session_id=session))).seq
        async with desk.viewer() as viewer:
            epoch = (await attach(viewer, session)).epoch
            await attach(viewer, session, 0, epoch)
            while not viewer.gone.is_set() and viewer.seqs()[-1:] != [last]:
                await turns(1)
            assert viewer.seqs() == list(range(1, last + 1))


async def test_a_page_of_history_fits_a_frame() -> None:
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(), ME)
        for n in range(12):
            await submit(desk, session, "x" * 90_000, f"p{n}")
            await settle()
        got: list[Event] = []
        while True:
            after = got[-1].seq if got else 0
            page = await desk.sessions.archive.history(History(session_id=session, after=after, limit=1000))
            assert sum(len(bytes(event.payload)) for event in page.events) <= FRAME_OUT_MAX
            got += page.events
            if not page.more:
                break
        assert [event.seq for event in got] == list(range(1, page.seq + 1))
        newest = await desk.sessions.archive.history(History(session_id=session, limit=1000))
        assert newest.more
        assert newest.events[-1].seq == page.seq


def _payload(event: Event | EventOf) -> object:
    from agent.protocol.events import payload_of

    return payload_of(Event(event.seq, event.type, event.payload, event.at))
