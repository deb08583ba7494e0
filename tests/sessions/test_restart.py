"""A session that has ended is started anew: another one, made of the same."""

from __future__ import annotations

import pytest

from agent.errors import BadParams, SessionNotFound
from agent.ports import Described
from agent.protocol.codec import typed
from agent.protocol.messages import Created, CreateSession, OnSession
from agent.sessions.host import restart
from tests.fakes.clock import settle
from tests.fakes.desk import ME, running, submit
from tests.fakes.gateways import network
from tests.links.test_peers import create, fails
from tests.links.test_peers import submit as submit_to


async def test_it_has_the_same_backend_title_folder_and_share_and_goes_on_with_what_the_agent_knows() -> None:  # S11
    async with running() as desk:
        asked = CreateSession(title="mine", cwd="/tmp", share="private")
        session = await desk.sessions.create(asked, ME)
        await desk.echo.sessions[0]._emit(Described(lineage=("own-1",)))
        await settle()
        await submit(desk, session, "@exit")
        await settle()
        anew = await restart(desk.sessions, session, ME)
        row = desk.rows[anew]
        assert anew != session
        assert (row.title, row.backend, row.share, row.lineage) == ("mine", "echo", "private", ("own-1",))
        assert (desk.echo.sessions[1].start.lineage, desk.echo.sessions[1].start.cwd) == (("own-1",), "/tmp")
        assert desk.rows[session].status == "ended"


async def test_a_closed_one_too_but_none_that_lives() -> None:
    async with running() as desk:
        session = await desk.sessions.create(CreateSession(title="mine"), ME)
        with pytest.raises(BadParams, match="has not ended"):
            await restart(desk.sessions, session, ME)
        await desk.sessions.close(session, ME)
        assert desk.rows[await restart(desk.sessions, session, ME)].title == "mine"
        with pytest.raises(SessionNotFound):
            await restart(desk.sessions, "nothing", ME)


async def test_one_of_another_device_is_started_anew_over_there() -> None:  # L1
    async with network("desk", "laptop") as (_, (desk, laptop)):
        async with desk.client() as owner:
            session = await create(desk, "mine")
            await submit_to(owner, session, "@exit")
        await settle()
        async with laptop.client() as viewer:
            told = await viewer.channel.request("session.restart", OnSession(session_id="mine"), seconds=30.0)
            anew = typed(told, Created).session_id
            await settle()
            row = laptop.registry.session(anew)
            assert row is not None
            assert (row.title, row.device.name, row.local) == ("mine", "desk", False)
            del desk.router.routes["session.restart"]
            refused = await fails(viewer, "session.restart", OnSession(session_id=anew))
            assert str(refused) == "desk's lan-agent is too old for this"
