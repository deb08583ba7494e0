"""R13 between gateways: a session stays with the device that hosts it, and so does what is sent to it."""

from __future__ import annotations

import pytest
from msgspec import Raw

from agent.errors import AgentError, Ambiguous
from agent.ports import Channel
from agent.presence.rules.claims import Contest
from agent.protocol.events import UserMessage
from agent.protocol.messages import Attach, SessionsChanged, Submit
from agent.protocol.methods import SESSION_CHANGED
from agent.protocol.model import DeviceRef, SessionId, SessionRow, Status
from agent.protocol.times import rfc3339
from tests.fakes.clock import settle
from tests.fakes.gateways import Device, network
from tests.links.test_peers import attach, create, fails, submit


def row_of(rival: Device, session: str, title: str) -> SessionRow:
    """What a device says that has changed its program: newer than anything there will ever be, and its own."""
    return SessionRow(
        id=SessionId(session),
        title=title,
        status=Status.NEEDS_INPUT,
        device=DeviceRef(rival.id, rival.name),
        local=True,
        attachable=True,
        backend="echo",
        model="",
        created_at=None,
        updated_at=rfc3339(rival.net.clock.time() + 9e8),
    )


async def claim(rival: Device, at: Device, *rows: SessionRow) -> None:
    rival.peers.notify(at.id, SESSION_CHANGED, SessionsChanged(changed=rows))
    await settle()


async def test_r13_prompts_and_viewers_stay_with_the_owner_whatever_a_read_only_device_claims() -> None:
    """Attack: it claims the session with a newer time; prompts went there with exit 0, and viewers moved over."""
    async with network("desk", "laptop", "box") as (_, (desk, laptop, box)):
        session = await create(desk, "build")
        for device in (desk, laptop):
            device.limit(box, read_only=True)
        news = laptop.presence.subscribe()
        stolen: list[str] = []

        async def steal(channel: Channel, method: str, params: Raw) -> object:
            stolen.append(method)  # it keeps whatever comes
            return ()

        box.router.on_request = steal  # type: ignore[method-assign]  # it has another program
        async with laptop.client() as viewer, laptop.client() as other:
            attached = await attach(viewer, session)
            await claim(box, laptop, row_of(box, session, "build"), row_of(box, session[:9], "build"))
            for selector in (session, f"desk/{session}", "desk/build"):
                await submit(other, selector, f"to {selector}")
            await settle()
            assert viewer.channel.open
            said = [each.text for each in viewer.payloads() if isinstance(each, UserMessage)]
            assert said == [f"to {session}", f"to desk/{session}", "to desk/build"]
            again = await attach(other, session)
            assert again.epoch == attached.epoch
            await claim(box, laptop, row_of(box, "boxsboxsboxsboxs", "build"))
            error = await fails(other, "prompt.submit", Submit(session_id="build", prompt_id="x", text="x"))
            assert isinstance(error, Ambiguous)  # by a title it may be meant: a person says which
        assert not {"prompt.submit", "session.attach"} & set(stolen)
        with news:
            told = await anext(news)
        assert told.contests == (Contest(session, desk.id, box.id),)


async def test_r13_a_viewer_is_never_moved_to_a_device_that_claims_the_session_while_its_own_is_away() -> None:
    async with network("desk", "laptop", "box") as (net, (desk, laptop, box)):
        session = await create(desk, "build")
        async with laptop.client() as viewer:
            attached = await attach(viewer, session)
            net.cut(desk, laptop)
            await settle()
            await claim(box, laptop, row_of(box, session, "build"))
            await net.clock.advance(60.0)
            assert laptop.registry.find_session(session).device == desk.id
            net.heal(desk, laptop)
            await net.clock.advance(60.0)
            async with desk.client() as owner:
                await submit(owner, session, "hello")
            await settle()
            assert "message.user" in [event.type for event in viewer.events]
            assert (await attach(viewer, session)).epoch == attached.epoch


async def test_t11_what_a_guest_tells_of_sessions_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async with network("desk", "guest") as (net, (desk, guest)):
        session = await create(guest)
        desk.limit(guest, role="guest")
        await net.clock.advance(5.0)
        assert desk.registry.sessions() == []
        read: list[object] = []
        monkeypatch.setattr("agent.presence.rules.remote_device.sanitised", lambda row, now: read.append((row, now)))
        await claim(guest, desk, *(row_of(guest, f"guest{number:011}", "x" * 100) for number in range(500)))
        link = await guest.peers.link(desk.id)
        link.channel.send(link.channel.codec.notification("session.changed", {"changed": "nonsense"}))
        await settle()
        assert not read
        assert desk.registry.sessions() == []
        monkeypatch.undo()
        desk.limit(guest, role="member")
        await net.clock.advance(5.0)
        assert [row.id for row in desk.registry.sessions()] == [session]


async def test_r13_a_session_that_was_closed_here_is_nobody_elses() -> None:
    async with network("desk", "box") as (_, (desk, box)):
        session = await create(desk, "build")
        async with desk.client() as owner:
            await owner.ask("session.close", {"session_id": session})
            await settle()
            await claim(box, desk, row_of(box, session, "build"))
            with pytest.raises(AgentError) as ended:
                await owner.channel.request("session.attach", Attach(session_id=session), seconds=5.0)
        assert "ended" in str(ended.value)
        assert not desk.registry.sessions()
