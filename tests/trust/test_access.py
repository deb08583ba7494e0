"""trust.access and the methods behind it: gateways in memory, one of which may do less than a member."""

from __future__ import annotations

import pytest
from msgspec import Raw, structs

from agent.errors import AgentError, Ambiguous, Busy, Forbidden, NotPaired, ReadOnly, SessionNotFound
from agent.protocol.audit import AuditEntry
from agent.protocol.codec import typed
from agent.protocol.messages import (
    AnswerRequest,
    AuditNoted,
    Configure,
    CreateSession,
    History,
    LimitDevice,
    ListAudit,
    ListSessions,
    OnSession,
    Page,
    Rename,
    SessionLost,
    SessionsChanged,
    ShareSession,
    Submit,
)
from agent.protocol.methods import PROMPT_SUBMIT, SESSION_LIST
from agent.protocol.model import DeviceId, Endpoint, SessionRow, Share
from agent.protocol.names import short_id
from agent.protocol.prompts import Withdraw
from agent.sessions.index import FROM_OTHER_MAX
from agent.trust.audit import WAITING_MAX
from tests.fakes.clock import settle
from tests.fakes.gateways import Device, network
from tests.fakes.viewer import Viewer
from tests.links.test_peers import attach, create, fails, submit

LOOKS = ("session.history", "session.participants", "prompt.list", "session.attach", "session.detach")


async def share(device: Device, session: str, how: Share) -> None:
    async with device.client() as viewer:
        await viewer.ask("session.share", ShareSession(session_id=session, share=how))
    await settle()


async def over_the_link(there: Device, here: Device, method: str, params: object) -> Raw:
    """Ask `here` as the gateway of `there` would: whatever a modified program might send."""
    link = await there.peers.link(here.id)
    return await link.channel.request(method, params, seconds=30.0)


async def kind(there: Device, here: Device, method: str, params: object) -> str:
    """How it is refused; empty if it is not."""
    try:
        await over_the_link(there, here, method, params)
    except AgentError as exc:
        return exc.kind
    return ""


def every_way(session: str) -> dict[str, object]:
    """Every method that names a session."""
    on = OnSession(session_id=session)
    return {
        "session.history": History(session_id=session),
        "session.participants": on,
        "session.attach": on,
        "session.detach": on,
        "prompt.submit": Submit(session_id=session, prompt_id="p", text="hello"),
        "request.answer": AnswerRequest(session_id=session, answer="yes"),
        "session.interrupt": on,
        "prompt.list": on,
        "prompt.withdraw": Withdraw(session_id=session, prompt_id="p"),
        "session.rename": Rename(session_id=session, title="mine"),
        "session.configure": Configure(session_id=session, option="mode", value="ask"),
        "session.close": on,
        "session.restart": on,
    }


# --- private sessions ------------------------------------------------------------------------------------------------


async def test_a_private_session_is_not_there_for_others() -> None:
    async with network("desk", "laptop") as (_, (desk, laptop)):
        async with desk.client() as viewer:
            await viewer.ask("session.create", CreateSession(title="diary", share="private"))
        await settle()
        row = desk.sessions.index.rows()[0]
        assert row.share == "private"
        assert laptop.registry.sessions("remote") == []
        counts = laptop.registry.device(desk.id)
        assert counts is not None
        assert counts.sessions == 0
        for selector in (row.id, row.id[:6], "diary"):
            told = {method: await kind(laptop, desk, method, asked) for method, asked in every_way(selector).items()}
            assert set(told.values()) == {"session-not-found"}, (selector, told)
        rows = typed(await over_the_link(laptop, desk, "session.list", ListSessions()), list[SessionRow])
        assert rows == []
        async with desk.client() as viewer:
            assert (await submit(viewer, row.id, "dear diary")).status == "started"  # the owner is not limited


async def test_no_error_tells_of_a_private_session() -> None:
    # An ambiguous prefix would list it; a title that two carry would not be found.
    async with network("desk", "laptop") as (_, (desk, laptop)):
        one, other = await create(desk, "work"), await create(desk, "work")
        prefix = one[:10]
        assert other.startswith(prefix)
        assert await kind(laptop, desk, "session.participants", OnSession(session_id=prefix)) == "ambiguous"
        await share(desk, other, "private")
        for selector in (prefix, "work"):
            asked = History(session_id=selector)
            page = typed(await over_the_link(laptop, desk, "session.history", asked), Page)
            assert page.session_id == one
        with pytest.raises(Ambiguous):
            desk.sessions.get(prefix)


async def test_a_session_that_becomes_private_leaves_the_others_lists_and_screens() -> None:
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer, desk.client() as local:
            await viewer.ask("session.watch", ListSessions(scope="remote"))
            await attach(viewer, session)
            await attach(local, session)
            await settle()
            link = await desk.peers.link(laptop.id)
            await share(desk, session, "private")
            assert viewer.lost == [session]
            lost = [note for method, note in viewer.told if method == "session.lost"]
            gone = "the session is not shared any more"  # there is none to attach to again
            assert lost == [SessionLost(session_id=session, reason=gone, kind="session-not-found")]
            assert await desk.peers.link(laptop.id) is link  # what else is watched over it goes on
            assert not viewer.gone.is_set()
            assert local.lost == []
            assert laptop.registry.session(session) is None
            assert [p.device for p in desk.sessions.get(session).log.viewers.participants()] == [desk.id]
            await submit(local, session, "now alone")
            await local.until("turn.complete")
        async with laptop.client() as again:
            assert isinstance(await fails(again, "session.attach", OnSession(session_id=session)), SessionNotFound)
            assert "now alone" not in str([event.payload for event in viewer.events])
            await again.ask("session.watch", ListSessions(scope="remote"))
            await share(desk, session, "all")
            told = [params for _, params in again.told if isinstance(params, SessionsChanged)]
            assert [row.id for params in told for row in params.changed] == [session]


async def test_a_closed_private_session_stays_private() -> None:
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await create(desk)
        await share(desk, session, "private")
        async with desk.client() as viewer:
            await viewer.ask("session.close", OnSession(session_id=session))
        assert await kind(laptop, desk, "session.history", History(session_id=session)) == "session-not-found"
        meta = [meta for meta in await desk.store.sessions() if meta.id == session]
        assert (meta[0].closed, meta[0].share) == (True, "private")  # and after a restart


async def test_what_is_left_of_an_ended_session_is_named_as_it_was_asked_for() -> None:
    """The command in the hint can be pasted, here and on a device that asks over a link."""
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await create(desk)
        async with desk.client() as local, laptop.client() as viewer:
            await local.ask("session.rename", Rename(session_id=session, title="my build"))
            await local.ask("session.close", OnSession(session_id=session))
            ended = await fails(local, "prompt.submit", Submit(session_id="my build", prompt_id="x", text="x"))
            assert ended.hint == "`agent log 'my build'` still shows it; `agent new --again 'my build'` starts it anew"
            far = await fails(viewer, "prompt.submit", Submit(session_id=session, prompt_id="y", text="x", wait=0))
            assert "SESSION" not in far.hint


async def test_a_mistyped_session_or_device_is_answered_with_what_was_perhaps_meant() -> None:
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await create(desk)
        async with desk.client() as local, laptop.client() as viewer:
            await local.ask("session.rename", Rename(session_id=session, title="nightly build"))
            await settle()
            for client in (local, viewer):
                error = await fails(client, "session.history", History(session_id="nightly bild", wait=0))
                assert error.hint == "did you mean 'nightly build'? see `agent sessions`"
            wrong = await fails(viewer, "session.create", CreateSession(device="dsk"))
            assert wrong.hint == "did you mean desk? see `agent peers`"


async def test_only_its_own_device_decides_who_shares_a_session() -> None:
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await create(desk)
        asked = ShareSession(session_id=session, share="private")
        assert await kind(laptop, desk, "session.share", asked) == "forbidden"
        assert await kind(laptop, desk, "session.create", CreateSession(share="private")) == "forbidden"
        async with laptop.client() as viewer:
            assert isinstance(await fails(viewer, "session.share", asked), Forbidden)
            private = CreateSession(device="desk", share="private")
            assert isinstance(await fails(viewer, "session.create", private), Forbidden)
        assert [row.share for row in desk.sessions.index.rows()] == ["all"]


# --- read-only -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["session", "device"])
async def test_read_only_lets_watch_and_nothing_else(how: str) -> None:
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await create(desk)
        if how == "session":
            await share(desk, session, "read-only")
        else:
            async with desk.client() as viewer:
                await viewer.ask("device.limit", LimitDevice(device="laptop", read_only=True))
        told = {method: await kind(laptop, desk, method, asked) for method, asked in every_way(session).items()}
        assert told == {method: "" if method in LOOKS else "read-only" for method in told}
        create_refused = await kind(laptop, desk, "session.create", CreateSession())
        assert create_refused == ("read-only" if how == "device" else "")
        rows = typed(await over_the_link(laptop, desk, "session.list", ListSessions()), list[SessionRow])
        assert [row.share for row in rows if row.id == session] == ["read-only"]
        async with laptop.client() as viewer, desk.client() as local:
            await attach(viewer, session)
            await submit(local, session, "to be seen")
            await viewer.until("turn.complete")
            refused = await fails(viewer, "prompt.submit", Submit(session_id=session, prompt_id="x", text="x"))
            assert isinstance(refused, ReadOnly)
            line = f"share {session} all" if how == "session" else f"devices --full {short_id(laptop.id)}"
            assert refused.hint == f"its owner may allow more there: `agent {line}`"
        if how == "device":
            async with desk.client() as local:
                await local.ask("device.limit", LimitDevice(device="laptop", read_only=False))
            assert await kind(laptop, desk, "session.rename", Rename(session_id=session, title="ok")) == ""


# --- guests ----------------------------------------------------------------------------------------------------------


async def test_a_guest_of_one_session_sees_that_one_and_no_other() -> None:
    async with network("desk", "laptop", "den") as (_, (desk, laptop, den)):
        shown, other = await create(desk, "shown"), await create(desk, "other")
        desk.limit(laptop, role="guest", session=shown, read_only=True)
        laptop.limit(desk, role="host", session=shown, read_only=True)
        rows = typed(await over_the_link(laptop, desk, "session.list", ListSessions()), list[SessionRow])
        assert [row.id for row in rows] == [shown]
        told = {method: await kind(laptop, desk, method, asked) for method, asked in every_way(other).items()}
        assert set(told.values()) == {"session-not-found"}
        told = {method: await kind(laptop, desk, method, asked) for method, asked in every_way(shown).items()}
        assert set(told.values()) == {"", "read-only"}
        assert await kind(laptop, desk, "session.create", CreateSession()) == "read-only"
        assert await kind(laptop, desk, "device.list", OnSession(session_id=shown)) == "forbidden"
        assert await kind(den, desk, "session.rename", Rename(session_id=other, title="mine")) == ""  # a member


async def test_the_host_of_a_guest_may_do_nothing_there() -> None:
    async with network("desk", "laptop") as (net, (desk, laptop)):
        mine = await create(laptop, "mine")
        laptop.limit(desk, role="host")
        await net.clock.advance(2.0)  # another role begins with another link
        told = {method: await kind(desk, laptop, method, asked) for method, asked in every_way(mine).items()}
        assert set(told.values()) == {"forbidden"}
        assert await kind(desk, laptop, "session.create", CreateSession()) == "forbidden"
        rows = typed(await over_the_link(desk, laptop, "session.list", ListSessions()), list[SessionRow])
        assert rows == []


async def test_a_guest_is_out_when_its_time_is_over_and_not_before() -> None:
    async with network("desk", "laptop") as (net, (desk, laptop)):
        session = await create(desk)
        desk.limit(laptop, role="guest", expires_at=net.clock.time() + 100.0)
        await net.clock.advance(2.0)  # another role begins with another link
        async with laptop.client() as viewer, desk.client() as local:
            await attach(viewer, session)
            await net.clock.advance(97.0)
            assert (await submit(viewer, session, "in time")).status == "started"
            assert laptop.id in desk.peers.linked()
            await net.clock.advance(1.0)
            assert desk.peers.linked() == []
            assert [p.device for p in desk.sessions.get(session).log.viewers.participants()] == []
            assert laptop.id not in desk.paired
            with pytest.raises(NotPaired):
                desk.access.of(laptop.id)
            await attach(local, session)
            assert ("laptop", "unpaired", "") in desk.log.done()


async def test_a_guest_whose_entry_cannot_be_removed_is_out_all_the_same() -> None:
    async with network("desk", "laptop") as (net, (desk, laptop)):
        desk.limit(laptop, role="guest", expires_at=net.clock.time() + 10.0)
        await net.clock.advance(9.0)
        # The same instant, before anything has run: decided by the time, not by a timer.
        desk.paired[laptop.id] = type(desk.paired[laptop.id])(
            id=laptop.id, name="laptop", certificate=b"", paired_at=1.0, role="guest", expires_at=net.clock.time()
        )
        with pytest.raises(NotPaired):
            desk.access.admit(laptop.id, SESSION_LIST, ListSessions())


# --- quotas ----------------------------------------------------------------------------------------------------------


async def test_prompts_are_limited_for_each_device_and_never_for_the_owner() -> None:  # FACTS-SECURITY §3
    async with network("desk", "laptop", "den") as (net, (desk, laptop, den)):
        session = await create(desk)

        async def prompts(device: Device, count: int) -> list[str]:
            asked = [Submit(session_id=session, prompt_id=f"{device.name}-{n}", text="x") for n in range(count)]
            told = [await kind(device, desk, "prompt.submit", each) for each in asked]
            await settle()
            return told

        assert await prompts(laptop, 22) == [""] * 20 + ["busy"] * 2
        assert await prompts(den, 1) == [""]
        await net.clock.advance(3.0)
        told = [await kind(laptop, desk, "prompt.submit", Submit(session_id=session, prompt_id=f"l{n}", text="x"))
                for n in range(4)]  # fmt: skip
        assert told == ["", "", "", "busy"]
        with pytest.raises(Busy) as refused:
            desk.access.admit(laptop.id, PROMPT_SUBMIT, Submit(session_id=session, prompt_id="x", text="x"))
        assert refused.value.hint == "try again in 1 s"
        async with desk.client() as local:
            for number in range(40):
                await submit(local, session, f"mine {number}")
                await settle()


async def test_connects_and_sessions_are_limited() -> None:
    async with network("desk", "laptop") as (net, (desk, laptop)):
        for _ in range(30):
            desk.router.connecting(laptop.id)
        with pytest.raises(Busy):
            desk.router.connecting(laptop.id)
        await net.clock.advance(2.0)
        desk.router.connecting(laptop.id)
        told = [await kind(laptop, desk, "session.create", CreateSession()) for _ in range(11)]
        assert told == [""] * 10 + ["busy"]
        for _ in range(18):  # 3 every 9 s
            await net.clock.advance(9.0)
            told = [await kind(laptop, desk, "session.create", CreateSession()) for _ in range(3)]
        assert desk.sessions.index.created_by(laptop.id) == FROM_OTHER_MAX
        await net.clock.advance(60.0)
        assert await kind(laptop, desk, "session.create", CreateSession()) == "busy"
        async with desk.client() as local:
            await local.ask("session.create", CreateSession())


# --- what the owner hears --------------------------------------------------------------------------------------------


async def test_the_first_prompt_of_a_device_is_told_once_and_remembered() -> None:
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await create(desk)
        async with laptop.client() as viewer:
            assert desk.notices == []
            await submit(viewer, session, "first")
            await submit(viewer, session, "second")
        assert len(desk.notices) == 1
        assert "laptop" in desk.notices[0]
        assert desk.paired[laptop.id].prompted_at > 0.0
        async with desk.client() as local:
            await submit(local, session, "mine")
        assert len(desk.notices) == 1
        desk.paired[laptop.id] = structs.replace(desk.paired[laptop.id], prompted_at=0.0)  # unpaired, and paired again
        async with laptop.client() as viewer:
            await submit(viewer, session, "first again")
        assert len(desk.notices) == 1  # the newer one alone


async def test_the_log_says_who_did_what_and_no_word_of_it() -> None:
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await create(desk, "a secret title")
        async with laptop.client() as viewer:
            await attach(viewer, session)
            await submit(viewer, session, "@ask secret the password?")
            await viewer.until("request.open")
            await viewer.ask("request.answer", AnswerRequest(session_id=session, answer="hunter2"))
            await viewer.until("turn.complete")
        await settle()
        await kind(laptop, desk, "session.rename", Rename(session_id="no such", title="x"))  # a slip is not noted
        await share(desk, session, "private")
        await kind(laptop, desk, "session.rename", Rename(session_id=session, title="x"))
        async with desk.client() as local:
            await local.ask("session.close", OnSession(session_id=session))
        await settle()
        assert desk.log.done() == [
            ("desk", "created", session),
            ("laptop", "attached", session),
            ("laptop", "prompted", session),
            ("laptop", "answered", session),
            ("laptop", "detached", session),
            ("desk", "shared", session),
            ("laptop", "refused", session),
            ("desk", "closed", session),
        ]
        lengths = {entry.action: entry.length for entry in desk.log.entries}
        assert (lengths["prompted"], lengths["answered"]) == (len("@ask secret the password?"), 0)  # of a secret none
        assert desk.log.entries[6].detail == "session.rename: session-not-found"
        kept = str(desk.log.entries)
        assert not [word for word in ("password", "hunter2", "secret title") if word in kept]


async def test_refusals_do_not_fill_the_log() -> None:
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await create(desk)
        await share(desk, session, "private")
        for _ in range(100):
            await kind(laptop, desk, "session.close", OnSession(session_id=session))
        await settle()
        assert sum(entry.action == "refused" for entry in desk.log.entries) == 30


async def test_a_log_that_cannot_be_written_holds_nothing_up() -> None:
    async with network("desk", "laptop") as (net, (desk, laptop)):
        desk.log.full = True
        session = await create(desk)
        async with laptop.client() as viewer:
            assert (await submit(viewer, session, "goes on")).status == "started"
        await settle()
        assert desk.problems.current[-1].startswith("the audit log is not written: ")
        desk.log.full = False
        await net.clock.advance(6.0)
        assert desk.problems.current == ()
        assert [action for _, action, _ in desk.log.done()] == ["created", "prompted"]


async def test_a_device_that_calls_itself_otherwise_is_noted_and_told_with_its_old_name() -> None:
    # T5: a name comes from the device's own link; the owner knows it by the one it had.
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await create(desk)
        where = (Endpoint("10.0.0.9", 7471),)
        desk.encounters.met(laptop.id, "laptop", where)
        assert (desk.notices, desk.paired[laptop.id].endpoints) == ([], where)
        desk.encounters.met(laptop.id, "den", where)
        desk.encounters.met(laptop.id, "bank", where)
        who = short_id(laptop.id)
        assert desk.notices == [f"laptop ({who}) calls itself den now"]
        async with laptop.client() as viewer:
            await submit(viewer, session, "hello")
        assert desk.notices[1:] == [
            f"bank (was laptop) ({who}) prompted a session on this device for the first time: work ({session})"
        ]
        await settle()
        entries = [(each.name, each.detail) for each in desk.log.entries if each.action == "renamed"]
        assert entries == [("den", "was laptop"), ("bank", "was den")]
        desk.encounters.met(DeviceId("stranger"), "desk", where)
        assert set(desk.paired) == {laptop.id}


async def noted(viewer: Viewer) -> list[str]:
    await settle()
    return [entry.action for _, told in viewer.told if isinstance(told, AuditNoted) for entry in told.entries]


async def test_whoever_follows_the_log_gets_each_entry_once() -> None:
    async with network("desk", "laptop") as (_, (desk, laptop)):
        session = await create(desk)
        desk.log.full = True  # what waits for the disk is told as well
        async with desk.client() as owner, laptop.client() as viewer:
            there = await owner.ask("audit.watch", ListAudit(), list[AuditEntry])
            assert isinstance(there, list)
            assert [entry.action for entry in there] == ["created"]
            await submit(viewer, session, "hello")
            assert await noted(owner) == ["prompted"]
            desk.log.full = False
            await settle()
            await attach(viewer, session)
            assert await noted(owner) == ["prompted", "attached"]
        assert await kind(laptop, desk, "audit.watch", ListAudit()) == "forbidden"
        await settle()
        assert len(desk.audit.readers) == 0


async def test_a_reader_of_the_log_that_is_too_slow_starts_anew() -> None:
    async with network("desk") as (_, (desk,)):
        entries = desk.audit.subscribe()
        for _ in range(WAITING_MAX + 1):
            desk.audit.note("refused", desk.id)
            if len(desk.log.entries) % 1000 == 0:
                await settle()
        with pytest.raises(Busy):
            await entries.take()
        assert len(desk.audit.readers) == 0


# --- programs inside sessions (T9) -----------------------------------------------------------------------------------


NOT_HERE = {"session.close", "session.restart", "request.answer", "session.configure", "prompt.withdraw"}
"""What would end the session, or has nothing to do in one that lives and asks nothing."""
DEVICES = ("device.pair", "device.close_window", "device.join", "device.unpair", "device.leave")


@pytest.mark.parametrize("allowed", [False, True])
async def test_a_program_in_a_session_may_not_act_elsewhere_unless_it_is_allowed(allowed: bool) -> None:
    async with network("desk", "laptop") as (_, (desk, laptop)):
        desk.router.guard.allowed = allowed
        own, there = await create(desk, "own"), await create(laptop, "there")
        async with desk.client() as viewer:
            served = viewer.serving
            desk.router.guard.note(served, own)
            acts = {method: asked for method, asked in every_way(there).items() if method not in LOOKS}
            acts |= {"session.create": CreateSession(device="laptop")}
            for method, asked in acts.items():
                if allowed and method in NOT_HERE:
                    continue
                if allowed:
                    await viewer.channel.request(method, asked, seconds=30.0)
                else:
                    refused = await fails(viewer, method, asked)
                    assert isinstance(refused, Forbidden), method
                    assert "sessions.may_prompt_others" in refused.hint
            if not allowed:
                for method in (*DEVICES, "session.share", "request.answer", "session.configure", "prompt.withdraw"):
                    assert isinstance(await fails(viewer, method, OnSession(session_id=own)), Forbidden), method
            await attach(viewer, there)  # looking is no act
            assert (await submit(viewer, own, "hello")).status == "started"  # nor is what it may do anyway
