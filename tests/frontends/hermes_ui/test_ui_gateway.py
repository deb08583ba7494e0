"""The gateway that the UI finds: a client speaks to it as the UI does, and behind it is a service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest

from agent.errors import Forbidden, MethodNotFound, NotRunning, SessionNotFound
from agent.frontends.hermes_ui.connection import listening
from agent.frontends.hermes_ui.session_list import SessionList
from agent.frontends.hermes_ui.ui_gateway import OURS, UiGateway
from agent.protocol.events import (
    Choice,
    Command,
    MessageDelta,
    MessageStart,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    UserMessage,
)
from agent.protocol.messages import Answered, CreateSession, ParticipantsChanged, PeerLink, SessionsChanged, TurnTail
from agent.protocol.model import DeviceId, Participant, Sender, Status
from tests.frontends.gateway import DESK, HERE, OWN, THERE, FakeGateway, session
from tests.frontends.hermes_ui.recorded import assert_like, assert_shape, result_of

Json = dict[str, Any]
ALLOW = (Choice(id="yes", name="Yes", kind="allow_once"), Choice(id="no", name="No", kind="reject_once"))
BY_DESK = Sender(device=DESK, name="desk")


class Ui:
    """Speaks as the UI does. Every event is compared with what a real gateway was recorded with."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket, self.told = socket, list[Json]()
        self._answers: dict[str, Json] = {}
        self._asked = 0

    async def send(self, method: str, **params: Any) -> str:
        self._asked += 1
        asked = f"r{self._asked}"
        await self.socket.send_str(json.dumps({"id": asked, "jsonrpc": "2.0", "method": method, "params": params}))
        return asked

    async def answer(self, asked: str | None) -> Json:
        while str(asked) not in self._answers:
            await self.read()
        return self._answers.pop(str(asked))

    async def call(self, method: str, **params: Any) -> Json:
        told = await self.answer(await self.send(method, **params))
        assert "result" in told, told
        result: Json = told["result"]
        return result

    async def refused(self, method: str, **params: Any) -> Json:
        told = await self.answer(await self.send(method, **params))
        assert "error" in told, told
        error: Json = told["error"]
        return error

    async def read(self) -> None:
        async with asyncio.timeout(20):
            frame = json.loads(await self.socket.receive_str())
        if frame.get("method") == "event":
            assert_shape(frame["params"]["type"], frame["params"].get("payload"))
            self.told.append(frame["params"])
        else:
            self._answers[str(frame["id"])] = frame

    async def event(self, kind: str, text: str = "") -> Json:
        """The next event of that type, with that text in it; what came before is passed over."""
        while True:
            while self.told:
                event = self.told.pop(0)
                if event["type"] == kind and text in json.dumps(event.get("payload"), ensure_ascii=False):
                    return event
            await self.read()


@asynccontextmanager
async def connected(gateway: FakeGateway, *, first: str = "", **make: Any) -> AsyncIterator[Ui]:
    async with asyncio.TaskGroup() as tasks:
        listing = SessionList(gateway.path)
        watching = tasks.create_task(listing.run(), name="test.list")
        await listing.ready
        serving = UiGateway(listing, tasks, session=first, make=CreateSession(**make))
        async with listening(serving.serve) as listener, aiohttp.ClientSession() as client:
            async with client.ws_connect(listener.url) as socket:
                ui = Ui(socket)
                await ui.event("gateway.ready")
                yield ui
            async with asyncio.timeout(10), client.ws_connect(listener.url):  # it can come back
                pass
        serving.end()
        watching.cancel()


async def shown(ui: Ui, which: str = HERE) -> Json:
    result = await ui.call("session.activate", session_id=which)
    await ui.event("session.info")
    return result


# --- what the UI asks at its start --------------------------------------------------------------------------------


async def test_what_the_ui_asks_at_its_start_is_answered_as_recorded(gateway: FakeGateway) -> None:
    async with connected(gateway) as ui:
        for method in ("setup.status", "pet.cells", "commands.catalog", "complete.path", "complete.slash"):
            assert_like(await ui.call(method), result_of(method))
        assert await ui.call("config.get", key="mtime") == {"mtime": 0}
        assert await ui.call("input.detect_drop", session_id="new-1", text="/etc/passwd") == {"matched": False}
        display = (await ui.call("config.get", key="full"))["config"]["display"]
        assert display["busy_input_mode"] == "queue"  # typing must not interrupt what others run
        assert not display["tui_auto_resume_recent"]
    async with connected(gateway, first="Build") as ui:
        assert (await ui.call("config.get", key="full"))["config"]["display"]["tui_auto_resume_recent"]
        assert await ui.call("session.most_recent") == {"session_id": "Build"}
        assert (await ui.call("session.resume", session_id="Build"))["session_id"] == HERE


async def test_nothing_else_is_served(gateway: FakeGateway) -> None:
    async with connected(gateway) as ui:
        for method in ("shell.exec", "cli.exec", "config.set", "model.save_key", "session.delete", "x"):
            assert (await ui.refused(method, command="id"))["code"] == -32601
        assert (await ui.refused("session.activate", session_id=5))["code"] == -32602
        assert (await ui.refused("session.activate", session_id="nothing"))["code"] == 4001  # as recorded


async def test_what_is_no_request_changes_nothing(gateway: FakeGateway) -> None:
    async with connected(gateway) as ui:
        await ui.socket.send_str("")
        for text, code in (("{", -32700), ("[]", -32600), ('{"id":1}', -32600), ('{"x":' + "[" * 100_000, -32700)):
            await ui.socket.send_str(text)
            assert (await ui.answer(None))["error"]["code"] == code
        await ui.socket.send_str('{"method": "pet.cells"}')  # without id: answered with null, as Hermes does
        assert (await ui.answer(None))["result"] == {"enabled": False}
        await ui.socket.send_bytes(b"{}")
        assert (await ui.socket.receive()).type is aiohttp.WSMsgType.CLOSE


async def test_without_a_service_there_is_nothing_to_show(gateway: FakeGateway) -> None:
    await asyncio.to_thread(gateway.stop)
    with pytest.raises(ExceptionGroup) as told:
        async with connected(gateway):
            pass
    assert told.value.subgroup(NotRunning)
    await asyncio.to_thread(gateway.start)


# --- lists --------------------------------------------------------------------------------------------------------


async def test_sessions_of_all_devices_are_listed_with_their_device(gateway: FakeGateway) -> None:
    gateway.sessions = [
        session(),
        session(THERE, "Ask\x1b", status=Status.NEEDS_INPUT, model="large", question="may I?"),
        session(THERE, "Hidden", attachable=False),
    ]
    gateway.sessions[2] = msgspec.structs.replace(gateway.sessions[2], id="unreachable")
    async with connected(gateway) as ui:
        rows = (await ui.call("session.active_list", current_session_id=HERE))["sessions"]
        assert [(row["id"], row["title"], row["status"], row["model"], row["current"]) for row in rows] == [
            (HERE, "Build", "idle", "shell", True),
            (THERE, "Ask\N{REPLACEMENT CHARACTER} · desk", "waiting", "large", False),
        ]
        assert [row["preview"] for row in rows] == ["", "may I?"]
        assert_like(rows[0], result_of("session.active_list")["sessions"][0])
        stored = (await ui.call("session.list", limit=200))["sessions"]
        assert {row["id"] for row in stored} == {HERE, THERE}  # the UI shows those that are not live: none
        assert_like(stored[0], result_of("session.list")["sessions"][0])

        changed = SessionsChanged(changed=(session(title="Renamed"),), removed=(THERE,))
        await asyncio.to_thread(gateway.tell, "session.changed", changed)
        await asyncio.to_thread(gateway.stop)  # the rows that were told last are still shown
        while [row["title"] for row in (await ui.call("session.active_list"))["sessions"]] != ["Renamed"]:
            pass
        await asyncio.to_thread(gateway.start)


# --- a session is shown -------------------------------------------------------------------------------------------


async def test_a_snapshot_has_the_shape_of_a_real_one_and_events_follow_it(gateway: FakeGateway) -> None:
    said = UserMessage(turn=1, prompt_id="p", text="count", sender=BY_DESK)
    await asyncio.to_thread(gateway.emit, said, MessageStart(turn=1), MessageDelta(turn=1, text="one "))
    async with connected(gateway) as ui:
        told = await shown(ui)
        recorded = {**result_of("session.activate"), "resumed": ""}
        assert_like(told, recorded)
        assert_like(told["info"], recorded["info"])
        assert_like(told["inflight"], recorded["inflight"])
        assert (told["session_id"], told["running"], told["status"]) == (HERE, True, "working")
        assert told["inflight"]["user"] == "[desk] count"
        await asyncio.to_thread(gateway.emit, MessageDelta(turn=1, text="two"))
        event = await ui.event("message.delta")
        assert (event["session_id"], event["payload"]["text"]) == (HERE, "two")
        assert_like(await ui.call("session.history", session_id=HERE), result_of("session.history"))
        assert_like(await ui.call("session.usage", session_id=HERE), result_of("session.usage"))
        assert "Session: " in (await ui.call("session.status", session_id=HERE))["output"]
        assert (await ui.call("session.title", session_id=HERE))["title"] == "Build"
        assert_like(await ui.call("session.title", session_id=HERE, title="New"), result_of("session.title"))
        assert gateway.called("session.rename")[0].title == "New"


async def test_the_ui_gets_clean_text_and_no_rows_that_move(gateway: FakeGateway) -> None:
    async with connected(gateway) as ui:
        await shown(ui)
        rows = TurnTail(session_id=HERE, turn=1, after_seq=1, text="50 %")
        await asyncio.to_thread(gateway.emit, MessageStart(turn=1))
        await asyncio.to_thread(gateway.tell, "turn.tail", rows)  # as if it had asked
        red = MessageDelta(turn=1, text="\x1b[31mred\x1b[0m\n")  # of an older device
        await asyncio.to_thread(gateway.emit, red)
        told = await ui.event("message.delta")
        assert told["payload"]["text"].removeprefix("`````\n") == "red\n"
        assert "50 %" not in json.dumps(ui.told)
    (asked,) = gateway.called("session.attach")
    assert (asked.colours, asked.tail) == (False, False)


async def test_what_stands_for_a_title_is_told_as_the_list_has_it(gateway: FakeGateway) -> None:  # R7
    gateway.sessions = [session(title="", untitled=True)]
    async with connected(gateway) as ui:
        await shown(ui)
        assert (await ui.call("session.title", session_id=HERE))["title"] == "Untitled session"
        called = SessionsChanged(changed=(session(title="fix the parser", untitled=True),))
        await asyncio.to_thread(gateway.tell, "session.changed", called)
        while (await ui.call("session.title", session_id=HERE))["title"] != "fix the parser":
            pass
        assert "Title: fix the parser" in (await ui.call("session.status", session_id=HERE))["output"]


async def test_a_prompt_is_sent_with_an_id_of_its_own_and_streams(gateway: FakeGateway) -> None:
    async with connected(gateway) as ui:
        await shown(ui)
        assert await ui.call("prompt.submit", session_id=HERE, text="echo hello") == result_of("prompt.submit")
        assert (await ui.event("message.complete"))["payload"]["text"].split("\n")[1] == "hello"
        assert not [event for event in ui.told if event["type"] == "review.summary"]  # the UI has shown it itself
        await ui.call("prompt.submit", session_id=HERE, text="echo hello")
        first, second = gateway.called("prompt.submit")
        assert first.prompt_id != second.prompt_id
        assert first.client == "hermes"
        for text in ("", " \n", "x" * 200_000):
            await ui.refused("prompt.submit", session_id=HERE, text=text)
        assert len(gateway.called("prompt.submit")) == 2
        await ui.refused("prompt.submit", session_id=THERE, text="of one that is not shown")


async def test_steering_and_interrupting(gateway: FakeGateway) -> None:
    async with connected(gateway) as ui:
        await shown(ui)
        await ui.call("prompt.submit", session_id=HERE, text="wait")
        await ui.event("message.delta")
        assert await ui.call("session.steer", session_id=HERE, text="no, so") == {"status": "queued", "text": "no, so"}
        assert gateway.called("prompt.submit")[1].steer
        assert await ui.call("session.interrupt", session_id=HERE) == result_of("session.interrupt")
        assert (await ui.event("message.complete"))["payload"]["status"] == "interrupted"


async def test_an_interrupt_takes_back_ones_own_prompt_behind_somebody_elses_turn(gateway: FakeGateway) -> None:  # S12
    gateway.emit(UserMessage(turn=1, prompt_id="x", text="go", sender=BY_DESK), MessageStart(turn=1))
    gateway.busy, gateway._turns = True, {"x": 1}
    async with connected(gateway) as ui:
        await shown(ui)
        assert (await ui.call("prompt.submit", session_id=HERE, text="by me"))["status"] == "queued"
        assert await ui.call("session.interrupt", session_id=HERE) == result_of("session.interrupt")
        await ui.event("review.summary", "never ran: taken back by laptop: by me")
        assert len(gateway.queue) == 0
        assert not gateway.called("session.interrupt")
        await ui.call("session.interrupt", session_id=HERE)  # now nothing of one's own waits
        assert len(gateway.called("session.interrupt")) == 1


async def test_an_interrupt_stops_ones_own_turn_and_says_what_runs_next(gateway: FakeGateway) -> None:  # S12
    async with connected(gateway) as ui:
        await shown(ui)
        await ui.call("prompt.submit", session_id=HERE, text="wait")
        await ui.event("message.delta")
        gateway.busy = True
        assert (await ui.call("prompt.submit", session_id=HERE, text="then this"))["status"] == "queued"
        await ui.call("session.interrupt", session_id=HERE)
        await ui.event("review.summary", "runs next: 1 prompt: ")
        assert [call.turn for call in gateway.called("session.interrupt")] == [1]
        assert not gateway.called("prompt.withdraw")


async def test_what_cannot_be_taken_back_is_said(gateway: FakeGateway) -> None:
    gateway.emit(UserMessage(turn=1, prompt_id="x", text="go", sender=BY_DESK), MessageStart(turn=1))
    gateway.busy, gateway._turns = True, {"x": 1}
    gateway.refusals["prompt.withdraw"] = MethodNotFound("desk's lan-agent is too old for this", hint="update it")
    async with connected(gateway) as ui:
        await shown(ui)
        await ui.call("prompt.submit", session_id=HERE, text="by me")
        await ui.call("session.interrupt", session_id=HERE)
        await ui.event("review.summary", "not taken back: desk's lan-agent is too old for this; update it")


async def test_others_are_seen(gateway: FakeGateway) -> None:  # S7, S8, L5
    gateway.participants = (
        Participant(device=OWN, name="laptop", count=1),
        Participant(device=DESK, name="desk", count=2),
    )
    async with connected(gateway) as ui:
        await shown(ui)
        await ui.event("review.summary", "also here: desk")
        gone = ParticipantsChanged(session_id=HERE, participants=gateway.participants[:1])
        await asyncio.to_thread(gateway.tell, "session.participants", gone)
        await ui.event("review.summary", "desk left")
        tab = Participant(device=DeviceId("tab"), name="tab\x1b", count=1)
        await asyncio.to_thread(
            gateway.tell, "session.participants", ParticipantsChanged(session_id=HERE, participants=(tab,))
        )
        await ui.event("review.summary", "tab\N{REPLACEMENT CHARACTER} joined")
        link = PeerLink(device=DESK, name="desk", sessions=(HERE,))
        await asyncio.to_thread(gateway.tell, "peer.lost", link)
        await ui.event("review.summary", "link to desk lost")
        await asyncio.to_thread(gateway.tell, "peer.back", link)
        await ui.event("review.summary", "link to desk is back")
        said = UserMessage(turn=1, prompt_id="p", text="echo theirs", sender=BY_DESK)
        await asyncio.to_thread(gateway.emit, said)
        await ui.event("review.summary", "[desk] echo theirs")


async def test_a_restart_of_the_service_repeats_and_loses_nothing(gateway: FakeGateway) -> None:  # S3, S4
    async with connected(gateway) as ui:
        await shown(ui)
        await asyncio.to_thread(gateway.emit, MessageStart(turn=1), MessageDelta(turn=1, text="one "))
        await ui.event("message.delta")
        await asyncio.to_thread(gateway.stop)
        await ui.event("review.summary", "the service is away")
        asked = await ui.send("prompt.submit", session_id=HERE, text="echo meanwhile")
        await asyncio.to_thread(gateway.emit, MessageDelta(turn=1, text="two"))  # nobody is there to hear it
        await asyncio.to_thread(gateway.start)
        await ui.event("review.summary", "back; the log is whole")
        assert (await ui.event("message.delta"))["payload"]["text"] == "two"
        assert (await ui.answer(asked))["result"] == {"status": "streaming"}
        assert len(gateway.called("prompt.submit")) == 1
        again = gateway.called("session.attach")[1]
        assert (again.after, again.epoch) == (2, "e1")


async def test_a_log_that_began_anew_is_told_and_shown_from_its_beginning(gateway: FakeGateway) -> None:  # S15
    async with connected(gateway) as ui:
        await shown(ui)
        await asyncio.to_thread(gateway.emit, MessageStart(turn=1), MessageDelta(turn=1, text="lost"))
        await ui.event("message.delta")
        await asyncio.to_thread(gateway.stop)
        await ui.event("review.summary", "the service is away")
        gateway.put_back(MessageStart(turn=1), MessageDelta(turn=1, text="kept"))
        await asyncio.to_thread(gateway.start)
        await ui.event("review.summary", "began anew")
        assert (await ui.event("message.delta"))["payload"]["text"].endswith("kept")
        await asyncio.to_thread(gateway.emit, MessageDelta(turn=1, text=" on"))
        assert (await ui.event("message.delta"))["payload"]["text"] == " on"


async def test_what_the_ui_leaves_goes_on(gateway: FakeGateway) -> None:  # S6
    gateway.sessions.append(session(THERE))
    async with connected(gateway) as ui:
        draft = (await ui.call("session.create", cols=80))["session_id"]
        await shown(ui)
        await ui.call("session.resume", session_id=draft)
        assert await ui.call("session.close", session_id=HERE) == result_of("session.close")  # as after each /resume
        await shown(ui)
        assert await ui.call("session.close", session_id=HERE) == {"closed": True}
        told = await ui.refused("session.close", session_id=THERE)  # Ctrl+D in the list
        assert "agent close" in told["message"]
        assert gateway.called("session.close") == []


REVIEW = Command(name="review", description="Look at it", hint="branch name")


async def test_commands_of_the_agent_are_prompts_and_others_are_none(gateway: FakeGateway) -> None:
    async with connected(gateway) as ui:
        assert {f"/{name}" for name in OURS} == {pair[0] for pair in (await ui.call("commands.catalog"))["pairs"]}
        await shown(ui)
        await asyncio.to_thread(gateway.emit, SessionInfo(commands=(REVIEW,)))
        while not (items := (await ui.call("complete.slash", text="/re"))["items"]):
            pass
        assert items == [{"text": "review", "display": "/review branch name", "meta": "Look at it"}]
        assert await ui.call("slash.exec", session_id=HERE, command="review all of it") == {
            "type": "send", "message": "/review all of it",
        }  # fmt: skip
        assert "/skin" in (await ui.refused("slash.exec", session_id=HERE, command="skin"))["message"]
        assert "/skin" in (await ui.refused("command.dispatch", session_id=HERE, name="skin", arg="x"))["message"]


# --- sessions that the UI makes -----------------------------------------------------------------------------------


async def test_a_session_of_the_uis_becomes_one_with_its_first_prompt(gateway: FakeGateway) -> None:
    async with connected(gateway, backend="shell", cwd="/src") as ui:
        made = await ui.call("session.create", cols=80)
        assert_like(made, {**result_of("session.create"), **result_of("session.activate"), "resumed": ""})
        draft = made["session_id"]
        rows = (await ui.call("session.active_list", current_session_id=draft))["sessions"]
        assert [(row["id"], row["current"]) for row in rows] == [(draft, True), (HERE, False)]
        assert await ui.call("session.title", session_id=draft, title="Mine") == {
            "title": "Mine", "session_key": draft, "pending": True,
        }  # fmt: skip
        assert gateway.called("session.create") == []

        await ui.call("prompt.submit", session_id=draft, text="echo first")
        assert gateway.called("session.create") == [CreateSession(backend="shell", cwd="/src", title="Mine")]
        assert (await ui.event("message.complete"))["session_id"] == draft  # the UI knows it by that name
        rows = (await ui.call("session.active_list", current_session_id=draft))["sessions"]
        assert [(row["id"], row["session_key"]) for row in rows] == [(draft, HERE)]
        await ui.call("prompt.submit", session_id=draft, text="echo second")
        assert len(gateway.called("session.create")) == 1
        assert (await ui.call("session.resume", session_id=draft))["session_id"] == draft  # after a lost connection


async def test_a_session_that_cannot_be_made_is_told_of_and_tried_again(gateway: FakeGateway) -> None:
    async with connected(gateway, device="desk") as ui:
        draft = (await ui.call("session.create"))["session_id"]
        gateway.refusals["session.create"] = Forbidden("not by this device")
        assert "not by this device" in (await ui.refused("prompt.submit", session_id=draft, text="echo"))["message"]
        del gateway.refusals["session.create"]
        await ui.call("prompt.submit", session_id=draft, text="echo")
        assert gateway.called("session.create")[-1].device == "desk"


# --- questions ----------------------------------------------------------------------------------------------------


async def test_an_approval_is_answered_and_the_next_question_comes_after_the_reply(gateway: FakeGateway) -> None:
    async with connected(gateway) as ui:
        await shown(ui)
        for which in ("r1", "r2"):
            request = RequestOpen(turn=1, request_id=which, kind="choices", prompt=which, choices=ALLOW)
            gateway.requests[which] = request
            await asyncio.to_thread(gateway.emit, request)
        assert (await ui.event("approval.request"))["payload"]["description"] == "r1"
        asked = await ui.send("approval.respond", session_id=HERE, choice="once")
        assert (await ui.answer(asked))["result"] == result_of("approval.respond")
        assert gateway.called("request.answer")[0].answer == "yes"
        # The UI puts away whatever approval it shows when it has the reply.
        assert not [event for event in ui.told if event["type"] == "approval.request"]
        assert (await ui.event("approval.request"))["payload"]["description"] == "r2"


async def test_a_line_is_answered_with_a_clarification_and_a_late_answer_is_told_so(gateway: FakeGateway) -> None:
    async with connected(gateway) as ui:
        await shown(ui)
        await ui.call("prompt.submit", session_id=HERE, text="ask Your number?")
        which = (await ui.event("clarify.request"))["payload"]["request_id"]
        assert await ui.call("clarify.respond", request_id=which, answer="42") == result_of("clarify.respond")
        assert "got 42" in (await ui.event("message.complete"))["payload"]["text"]
        assert (await ui.refused("clarify.respond", request_id=which, answer="43"))["code"] == 4009  # as recorded
        await ui.call("prompt.submit", session_id=HERE, text="secret Password:")
        which = (await ui.event("secret.request"))["payload"]["request_id"]
        await ui.call("secret.respond", request_id=which, value="hunter2")
        assert gateway.called("request.answer")[1].answer == "hunter2"


async def test_a_question_that_another_device_answered_is_put_away_and_a_line_says_who(gateway: FakeGateway) -> None:
    async with connected(gateway) as ui:  # S9
        await shown(ui)
        request = RequestOpen(turn=1, request_id="r", kind="choices", prompt="Run it?", choices=ALLOW)
        await asyncio.to_thread(gateway.emit, MessageStart(turn=1), MessageDelta(turn=1, text="so far"), request)
        await ui.event("approval.request")
        closed = RequestClosed(turn=1, request_id="r", status="answered", answer="no", by=BY_DESK)
        await asyncio.to_thread(gateway.emit, closed)
        assert "so far" in (await ui.event("message.complete"))["payload"]["text"]  # this puts a question away
        await ui.event("message.start")
        await ui.event("review.summary", "[desk] answered: No")
        late = await ui.refused("approval.respond", choice="once")
        assert (late["code"], late["message"]) == (4009, "desk answered first: No")


async def test_whoever_was_first_is_named_to_the_second(gateway: FakeGateway) -> None:  # S9
    gateway.beaten_by = Answered(status="already-answered", by=BY_DESK, answer="no")
    async with connected(gateway) as ui:
        await shown(ui)
        request = RequestOpen(turn=1, request_id="r", kind="choices", prompt="Run it?", choices=ALLOW)
        await asyncio.to_thread(gateway.emit, request)
        await ui.event("approval.request")
        assert await ui.call("approval.respond", choice="once") == {"resolved": 0}
        await ui.event("review.summary", "-- desk answered first: No")


async def test_a_question_that_is_open_already_is_asked_after_the_snapshot(gateway: FakeGateway) -> None:  # S9
    gateway.requests["r"] = RequestOpen(turn=1, request_id="r", kind="line", prompt="Which?")
    async with connected(gateway) as ui:
        assert (await ui.call("session.activate", session_id=HERE))["status"] == "waiting"
        assert (await ui.event("clarify.request"))["payload"]["question"] == "Which?"
        gateway.requests.clear()
        await asyncio.to_thread(gateway.stop)
        await asyncio.to_thread(gateway.start)
        await ui.event("message.complete")  # answered meanwhile: put away


async def test_a_session_that_is_gone_after_a_restart_is_told_of(gateway: FakeGateway) -> None:
    async with connected(gateway) as ui:
        await shown(ui)
        await asyncio.to_thread(gateway.stop)
        gateway.refusals["session.attach"] = Forbidden("not any more")
        await asyncio.to_thread(gateway.start)
        await ui.event("review.summary", "not any more; open the session again")
        gateway.refusals["session.attach"] = SessionNotFound("it has gone")
        assert (await ui.refused("session.activate", session_id=HERE))["code"] == 4001
