"""What was said on other devices: listed, searched and named from here, as far as they let this one."""

from __future__ import annotations

import pytest
from msgspec import Raw

from agent.errors import AgentError, Forbidden, MethodNotFound, PeerUnreachable, SessionNotFound
from agent.protocol.codec import typed
from agent.protocol.messages import History, Page, ShareSession
from agent.protocol.model import SessionId
from agent.protocol.transcripts import Forget, Found, ListPast, Past, Search
from tests.fakes.clock import settle
from tests.fakes.gateways import Device, network
from tests.fakes.viewer import Viewer
from tests.links.test_peers import create, submit


async def closed(device: Device, title: str, text: str = "mend the pump") -> SessionId:
    async with device.client() as viewer:
        session = await create(device, title)
        await submit(viewer, session, text)
        await settle()
        await raw(viewer, "session.close", Forget(session_id=session))
        await settle()
        return session


async def raw(viewer: Viewer, method: str, params: object) -> Raw:
    return await viewer.channel.request(method, params, seconds=900.0)


async def search(viewer: Viewer, text: str = "pump", **more: str) -> Found:
    return typed(await raw(viewer, "session.search", Search(text=text, **more)), Found)  # type: ignore[arg-type]  # checked there


async def past(viewer: Viewer, **more: str) -> Past:
    return typed(await raw(viewer, "session.past", ListPast(**more)), Past)  # type: ignore[arg-type]  # as above


async def test_all_devices_are_searched_if_that_is_asked_for() -> None:
    async with network("laptop", "desk") as (_, (laptop, desk)), laptop.client() as viewer:
        here, there = await closed(laptop, "here"), await closed(desk, "there")
        assert {hit.session_id for hit in (await search(viewer)).hits} == {here}
        told = await search(viewer, scope="all")
        assert {(hit.session_id, hit.device.name) for hit in told.hits} == {(here, "laptop"), (there, "desk")}
        assert {hit.session_id for hit in (await search(viewer, scope="remote")).hits} == {there}
        assert {hit.session_id for hit in (await search(viewer, device="desk")).hits} == {there}
        assert told.unreached == ()


async def test_a_device_that_is_away_or_too_old_is_named() -> None:
    async with network("laptop", "desk", "den") as (net, (laptop, desk, den)), laptop.client() as viewer:
        there = await closed(desk, "there")
        del desk.router.routes["session.search"], desk.router.routes["session.past"]
        net.cut(laptop, den)
        await net.clock.advance(120)
        assert {row.name: row.state for row in laptop.registry.devices()}["den"] == "offline"
        for told in (await search(viewer, scope="all"), await past(viewer, scope="all")):
            assert [each.device.name for each in told.unreached] == ["den", "desk"]
            assert told.unreached[0].reason.startswith("den is out of reach")
            assert "too old" in told.unreached[1].reason
        with pytest.raises(SessionNotFound) as caught:
            await raw(viewer, "session.history", History(session_id=there))
        assert "which sessions of den are over" in caught.value.hint
        with pytest.raises(PeerUnreachable, match="den is out of reach"):
            await search(viewer, device="den")
        with pytest.raises(MethodNotFound, match="the lan-agent of desk is too old"):
            await search(viewer, device="desk")


async def test_a_private_session_is_found_from_no_other_device() -> None:
    async with network("laptop", "desk") as (_, (laptop, desk)), laptop.client() as viewer:
        async with desk.client() as at_desk:
            session = await create(desk, "secret")
            await submit(at_desk, session, "mend the pump")
            await raw(at_desk, "session.share", ShareSession(session_id=session, share="private"))
            await settle()
            assert (await search(viewer, scope="all")).hits == ()
            assert (await search(at_desk)).hits
            await raw(at_desk, "session.close", Forget(session_id=session))
        await settle()
        assert (await search(viewer, scope="all")).hits == ()
        assert (await past(viewer, scope="all")).sessions == ()
        with pytest.raises(SessionNotFound):
            await raw(viewer, "session.history", History(session_id="secret"))


async def test_a_guest_finds_only_the_session_that_it_was_let_in_for() -> None:
    async with network("laptop", "desk") as (_, (laptop, desk)), laptop.client() as viewer:
        one, two = await closed(desk, "one"), await closed(desk, "two")
        desk.limit(laptop, role="guest", session=one)
        laptop.limit(desk, role="host", session=one)
        await settle()
        assert {hit.session_id for hit in (await search(viewer, scope="all")).hits} == {one}
        assert [row.id for row in (await past(viewer, scope="all")).sessions] == [one]
        assert two


async def test_a_closed_session_of_another_device_is_read_by_its_id_and_its_title() -> None:
    async with network("laptop", "desk") as (_, (laptop, desk)), laptop.client() as viewer:
        there = await closed(desk, "Waterworks")
        rows = (await past(viewer, scope="all")).sessions
        assert [(row.id, row.title, row.local, row.closed, row.device.name) for row in rows] == [
            (there, "Waterworks", False, True, "desk")
        ]
        for name in (there, "waterworks", "desk/Waterworks", f"desk/{there[:8]}"):
            page = typed(await raw(viewer, "session.history", History(session_id=name)), Page)
            assert page.session_id == there
            assert page.events


async def test_a_transcript_is_deleted_on_its_own_device_only() -> None:
    async with network("laptop", "desk") as (_, (laptop, desk)), laptop.client() as viewer:
        there = await closed(desk, "there")
        with pytest.raises(Forbidden, match="only desk itself") as caught:
            await raw(viewer, "session.forget", Forget(session_id="there"))
        assert caught.value.hint == f"run it on desk: `agent forget {there}`"
        link = await laptop.peers.link(desk.id)
        with pytest.raises(Forbidden):
            await link.channel.request("session.forget", Forget(session_id=there), seconds=5.0)
        assert (await search(viewer, scope="all")).hits


async def test_another_device_searches_only_so_often() -> None:
    async with network("laptop", "desk") as (_, (laptop, desk)):
        link = await laptop.peers.link(desk.id)

        async def refused() -> bool:
            try:
                await link.channel.request("session.search", Search(text="pump"), seconds=5.0)
            except AgentError as exc:
                return exc.kind == "busy"
            return False

        assert [await refused() for _ in range(30)].count(True) >= 5


async def test_the_sessions_of_this_device_are_named_with_its_own_name_when_they_are_over() -> None:
    async with network("laptop", "desk") as (_, (laptop, _)), laptop.client() as viewer:
        session = await closed(laptop, "mine")
        page = typed(await raw(viewer, "session.history", History(session_id="laptop/mine")), Page)
        assert page.session_id == session


async def test_what_is_to_be_deleted_is_named_as_in_lists_and_only_where_it_is() -> None:
    async with network("laptop", "desk") as (_, (laptop, desk)), laptop.client() as viewer:
        here, there = await closed(laptop, "here"), await closed(desk, "there")
        for name in ("laptop/here", "here", here):
            assert [row.id for row in (await past(viewer, named=name)).sessions] == [here]
        with pytest.raises(Forbidden, match="only desk itself") as caught:
            await past(viewer, named="there")
        assert there in caught.value.hint


async def test_a_closed_session_that_becomes_private_is_found_from_no_other_device() -> None:
    async with network("laptop", "desk") as (_, (laptop, desk)), laptop.client() as viewer:
        await closed(desk, "there")
        assert (await past(viewer, scope="all")).sessions
        async with desk.client() as at_desk:
            await raw(at_desk, "session.share", ShareSession(session_id="there", share="private"))
        assert (await past(viewer, scope="all")).sessions == ()
        assert (await search(viewer, scope="all")).hits == ()
