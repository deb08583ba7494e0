"""`agent acp` before a gateway: the methods, the turns, the questions, what is lost on the way and comes back."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.errors import BackendFailed, MethodNotFound
from agent.frontends.editors.connection import EditorPeer
from agent.frontends.editors.editor_agent import EditorAgent
from agent.frontends.editors.pipes import LINE_MAX, Pipes
from agent.protocol.events import (
    Choice,
    Command,
    Field,
    MessageComplete,
    MessageDelta,
    MessageStart,
    Option,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    TurnComplete,
    UserMessage,
)
from agent.protocol.messages import Answered, PeerLink, TurnTail
from agent.protocol.model import Sender
from tests.fakes.waiting import until
from tests.frontends.conftest import Agent
from tests.frontends.gateway import DESK, HERE, THERE, FakeGateway, _reply, _sender, session

Row = dict[str, Any]
SECONDS = 10.0
MODE = Option(
    id="mode", name="Mode", value="ask", category="mode",
    choices=(Choice(id="ask", name="Ask"), Choice(id="auto", name="Auto")),
)  # fmt: skip
FORMS: Row = {"elicitation": {"form": {}}}


class Editor:
    """An editor without pipes: it sends lines and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Row] = []
        self._in: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._news = asyncio.Condition()
        self._asked = 0

    async def lines(self) -> AsyncIterator[bytes]:
        while (line := await self._in.get()) is not None:
            yield line

    async def write(self, line: bytes) -> None:
        async with self._news:
            self.told.append(json.loads(line))
            self._news.notify_all()

    def send(self, message: object) -> None:
        self._in.put_nowait(message if isinstance(message, bytes) else json.dumps(message).encode())

    def leave(self) -> None:
        self._in.put_nowait(None)

    def notify(self, method: str, **params: Any) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def begin(self, method: str, **params: Any) -> int:
        self._asked += 1
        self.send({"jsonrpc": "2.0", "id": self._asked, "method": method, "params": params})
        return self._asked

    async def wait(self, matches: Callable[[Row], bool]) -> Row:
        """The first message so far, or still to come, that matches."""
        async with self._news, asyncio.timeout(SECONDS):
            while True:
                for message in self.told:
                    if matches(message):
                        return message
                await self._news.wait()

    async def answer(self, asked: int) -> Row:
        return await self.wait(lambda message: message.get("id") == asked and "method" not in message)

    async def ask(self, method: str, **params: Any) -> Row:
        answer = await self.answer(self.begin(method, **params))
        assert "result" in answer, answer
        found: Row = answer["result"]
        return found

    async def fails(self, method: str, **params: Any) -> Row:
        found: Row = (await self.answer(self.begin(method, **params)))["error"]
        return found

    async def asked(self, method: str) -> Row:
        """A question of the agent's."""
        return await self.wait(lambda message: message.get("method") == method)

    async def says(self, text: str, kind: str = "agent_message_chunk") -> None:
        """Wait until that is among what it was told."""
        await self.wait(lambda _: text in self.text(kind))

    def text(self, kind: str = "agent_message_chunk") -> str:
        return "".join(update["content"]["text"] for update in self.updates(kind))

    def updates(self, kind: str) -> list[Row]:
        found = [message["params"]["update"] for message in self.told if message.get("method") == "session/update"]
        return [update for update in found if update["sessionUpdate"] == kind]

    def begin_prompt(self, text: str) -> int:
        return self.begin("session/prompt", sessionId=HERE, prompt=[{"type": "text", "text": text}])

    async def prompt(self, text: str) -> Row:
        return await self.answer(self.begin_prompt(text))


@asynccontextmanager
async def editing(
    gateway: FakeGateway, selector: str = "Build", *, can: Row | None = None, load: bool = True, **options: Any
) -> AsyncIterator[Editor]:
    editor = Editor()
    serving = EditorAgent(gateway.path, EditorPeer(editor), session=selector, **options)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serving.run(), name="tests.acp")
        await editor.ask("initialize", protocolVersion=1, clientCapabilities=can or {})
        if load:
            await editor.ask("session/load", sessionId=HERE, cwd="/", mcpServers=[])
        yield editor
        editor.leave()


async def emit(gateway: FakeGateway, *payloads: Any) -> None:
    await asyncio.to_thread(gateway.emit, *payloads)


# --- the protocol ----------------------------------------------------------------------------------------------------


async def test_it_says_what_it_can(gateway: FakeGateway) -> None:
    async with editing(gateway, load=False) as editor:
        told = await editor.ask("initialize", protocolVersion=7)
        assert told["protocolVersion"] == 1
        assert told["agentCapabilities"]["loadSession"] is True
        assert set(told["agentCapabilities"]["sessionCapabilities"]) == {"list", "resume", "close"}
        assert told["agentInfo"]["name"] == "lan-agent"
        assert await editor.ask("authenticate", methodId="x") == {}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"hello", -32700),
        (b"\xff\xfe{", -32700),
        (b'{"id": 5, "params": ' + b"[" * 100_000, -32700),
        (b"[]", -32600),
        (b'{"id": {}, "method": "initialize"}', -32600),
    ],
)
async def test_a_line_that_is_no_message_is_told_and_changes_nothing(
    gateway: FakeGateway, line: bytes, code: int
) -> None:
    async with editing(gateway) as editor:
        editor.send(line)
        told = await editor.wait(lambda message: message.get("id", 0) is None)
        assert told["error"]["code"] == code
        assert (await editor.prompt("echo on"))["result"] == {"stopReason": "end_turn"}


async def test_wrong_requests_have_the_codes_of_the_protocol(gateway: FakeGateway) -> None:
    async with editing(gateway, load=False) as editor:
        assert (await editor.fails("session/fork", sessionId=HERE))["code"] == -32601
        assert (await editor.fails("session/prompt", sessionId=7))["code"] == -32602
        assert (await editor.fails("session/prompt", sessionId=HERE, prompt=[]))["code"] == -32002  # not open
        assert (await editor.fails("session/load", sessionId="another"))["code"] == -32002
        await editor.ask("session/load", sessionId=HERE)
        for prompt in (
            [],
            [{"type": "image", "data": ""}],
            [{"type": "resource", "resource": {}}],
        ):
            assert (await editor.fails("session/prompt", sessionId=HERE, prompt=prompt))["code"] == -32602
        assert (await editor.fails("session/set_mode", sessionId=HERE, modeId="x"))["code"] == -32602
        long = await editor.prompt("x" * 131_073)
        assert long["error"]["data"]["kind"] == "too-large"
        editor.notify("session/unheard-of", sessionId=HERE)
        editor.notify("session/cancel", sessionId="another")
        editor.send({"id": 99, "result": {}})  # to nothing that was asked
        assert (await editor.prompt("echo on"))["result"] == {"stopReason": "end_turn"}


async def test_a_prompt_takes_text_links_and_text_files(gateway: FakeGateway) -> None:
    async with editing(gateway) as editor:
        blocks = [
            {"type": "text", "text": "echo see "},
            {"type": "resource_link", "uri": "file:///a", "name": "a"},
            {"type": "resource", "resource": {"uri": "file:///b", "text": "inside"}},
        ]
        await editor.ask("session/prompt", sessionId=HERE, prompt=blocks)
        assert gateway.called("prompt.submit")[0].text == "echo see [a](file:///a)\nfile:///b:\n```\ninside\n```\n"


# --- opening ---------------------------------------------------------------------------------------------------------


async def test_new_answers_the_one_session_and_shows_its_newest(gateway: FakeGateway) -> None:
    await emit(gateway, UserMessage(turn=1, prompt_id="p", text="hi", sender=_sender()), *_reply(1, "before\n"))
    async with editing(gateway, load=False) as editor:
        opened = await editor.ask("session/new", cwd="/x", mcpServers=[{"name": "m", "command": "c", "args": []}])
        assert opened["sessionId"] == HERE
        await editor.says("before")
        answered = next(i for i, message in enumerate(editor.told) if message.get("result") == opened)
        assert all("method" not in message for message in editor.told[:answered])  # no update before the id is known
        assert gateway.called("session.create") == []


async def test_load_replays_what_a_snapshot_has_not(gateway: FakeGateway) -> None:
    for turn in range(1, 4):
        said = UserMessage(turn=turn, prompt_id=f"p{turn}", text=f"ask {turn}", sender=_sender())
        await emit(gateway, said, *_reply(turn, f"reply {turn}\n"))
    gateway.newest = 3
    async with editing(gateway) as editor:
        assert editor.text("user_message_chunk") == "ask 1ask 2ask 3"  # told before the answer
        assert [f"reply {turn}" in editor.text() for turn in (1, 2, 3)] == [True] * 3
        assert editor.text().count("reply") == 3


async def test_an_editor_gets_clean_text_and_no_rows_that_move(gateway: FakeGateway) -> None:
    async with editing(gateway) as editor:
        gateway.emit(UserMessage(turn=1, prompt_id="x", text="make", sender=_sender()))
        gateway.tell("turn.tail", TurnTail(session_id=HERE, turn=1, after_seq=1, text="50 %"))  # as if it had asked
        gateway.emit(MessageDelta(turn=1, text="\x1b[31mred\x1b[0m\n"))  # of an older device
        await editor.says("red\n")
        assert "50 %" not in editor.text()
        assert "\x1b" not in editor.text()
    (asked,) = gateway.called("session.attach")
    assert (asked.colours, asked.tail) == (False, False)


async def test_resume_replays_nothing_and_follows(gateway: FakeGateway) -> None:
    await emit(gateway, UserMessage(turn=1, prompt_id="p", text="hi", sender=_sender()), *_reply(1, "before\n"))
    async with editing(gateway, load=False) as editor:
        await editor.ask("session/resume", sessionId=HERE, cwd="/")
        assert (await editor.prompt("echo after"))["result"]["stopReason"] == "end_turn"
        assert "before" not in editor.text()
        assert "after" in editor.text()


async def test_without_a_session_all_are_listed_and_new_ones_made(gateway: FakeGateway) -> None:
    gateway.sessions = [
        session(cwd="/src"), session(THERE, "De\x1bploy", updated_at="2027-01-15T09:00:00Z"),
        session(THERE, "Strange", attachable=False),
    ]  # fmt: skip
    async with editing(gateway, "", load=False, device="desk", backend="shell") as editor:
        listed = (await editor.ask("session/list", cwd="/x"))["sessions"]
        assert [(row["title"], row["cwd"]) for row in listed] == [("[desk] De�ploy", "/x"), ("Build", "/src")]
        assert (await editor.ask("session/new", cwd="/x"))["sessionId"] == HERE
        made = gateway.called("session.create")[0]
        assert (made.device, made.backend, made.cwd) == ("desk", "shell", "")  # the directory is one of the editor's
    async with editing(gateway, "", load=False) as editor:
        await editor.ask("session/new", cwd="/x")
        assert gateway.called("session.create")[1].cwd == "/x"


async def test_with_a_session_only_that_one_is_listed(gateway: FakeGateway) -> None:
    gateway.sessions = [session(), session(THERE, "Deploy")]
    async with editing(gateway, load=False) as editor:
        assert [row["sessionId"] for row in (await editor.ask("session/list"))["sessions"]] == [HERE]


async def test_a_session_that_cannot_be_made_is_told(gateway: FakeGateway) -> None:
    gateway.refusals["session.create"] = BackendFailed("no such directory: /x", hint="make it")
    async with editing(gateway, "", load=False) as editor:
        told = await editor.fails("session/new", cwd="/x")
        assert told["message"] == "no such directory: /x (make it)"
        assert told["data"] == {"kind": "backend-failed", "hint": "make it"}


# --- turns -----------------------------------------------------------------------------------------------------------


async def test_a_turn_streams_and_ends_as_it_ended(gateway: FakeGateway) -> None:
    async with editing(gateway) as editor:
        assert (await editor.prompt("echo hello"))["result"] == {"stopReason": "end_turn"}
        assert "hello" in editor.text()
        assert len(editor.updates("agent_message_chunk")) > 2
        assert editor.updates("session_info_update") == [{"sessionUpdate": "session_info_update", "title": "Build"}]
        assert editor.updates("user_message_chunk") == []  # the editor shows its own
        asked = editor.begin_prompt("sleep")
        await editor.says("waiting")
        await emit(gateway, TurnComplete(turn=2, status="error", error="no model"))
        told = (await editor.answer(asked))["error"]
        assert (told["message"], told["data"]["kind"]) == ("no model", "backend-failed")


@pytest.mark.parametrize("how", ["session/cancel", "$/cancel_request"])
async def test_cancel_interrupts_and_the_turn_ends_cancelled(gateway: FakeGateway, how: str) -> None:
    async with editing(gateway) as editor:
        asked = editor.begin_prompt("sleep")
        await editor.says("waiting")
        editor.notify(how, sessionId=HERE, requestId=asked)
        assert (await editor.answer(asked))["result"] == {"stopReason": "cancelled"}
        assert len(gateway.called("session.interrupt")) == 1


def queued(turn: int, by: Sender) -> UserMessage:
    return UserMessage(turn=turn, prompt_id=f"p{turn}", text="theirs", sender=by, queued=True)


@pytest.mark.parametrize("how", ["session/cancel", "$/cancel_request"])
async def test_cancel_of_a_prompt_that_waits_withdraws_it_and_lets_the_others_turn_run(
    gateway: FakeGateway, how: str
) -> None:  # S12
    desks = Sender(device=DESK, name="desk")
    await emit(gateway, UserMessage(turn=1, prompt_id="x", text="go", sender=desks), MessageStart(turn=1))
    await emit(gateway, queued(2, desks))
    gateway.busy, gateway._turns = True, {"x": 1, "p2": 2}
    async with editing(gateway) as editor:
        asked = editor.begin_prompt("mine")
        await asyncio.to_thread(gateway.wait_until, lambda: len(gateway.queue) == 2)
        editor.notify(how, sessionId=HERE, requestId=asked)
        assert (await editor.answer(asked))["result"] == {"stopReason": "cancelled"}
        await asyncio.to_thread(gateway.wait_until, lambda: [each.turn for each in gateway.queue] == [2])
        assert not gateway.called("session.interrupt")


async def test_what_cannot_be_withdrawn_is_said_and_stopped_when_it_begins(gateway: FakeGateway) -> None:  # S12
    gateway.busy = True
    gateway.refusals["prompt.withdraw"] = MethodNotFound("desk's lan-agent is too old for this")
    async with editing(gateway) as editor:
        asked = editor.begin_prompt("mine")
        await asyncio.to_thread(gateway.wait_until, lambda: len(gateway.queue) == 1)
        editor.notify("session/cancel", sessionId=HERE)
        assert (await editor.answer(asked))["result"] == {"stopReason": "cancelled"}
        await editor.says("[not taken back, but stopped when it begins: desk's lan-agent is too old for this]")
        await emit(gateway, MessageStart(turn=1))
        await asyncio.to_thread(gateway.wait_for, "session.interrupt")
        assert [call.turn for call in gateway.called("session.interrupt")] == [1]


async def test_a_prompt_that_waits_when_its_session_is_closed_never_runs(gateway: FakeGateway) -> None:  # S12
    gateway.busy = True
    async with editing(gateway) as editor:
        asked = editor.begin_prompt("mine")
        await asyncio.to_thread(gateway.wait_until, lambda: len(gateway.queue) == 1)
        assert await editor.ask("session/close", sessionId=HERE) == {}
        assert (await editor.answer(asked))["result"] == {"stopReason": "cancelled"}
        assert len(gateway.queue) == 0
        assert gateway.called("session.close") + gateway.called("session.interrupt") == []


async def test_prompts_of_others_and_their_replies_stream_outside_of_turns(gateway: FakeGateway) -> None:
    async with editing(gateway) as editor:
        other = UserMessage(turn=1, prompt_id="theirs", text="make", sender=Sender(device=DESK, name="desk"))
        await emit(gateway, other, *_reply(1, "made\n"))
        await editor.says("made")
        assert editor.text("user_message_chunk") == "[desk] make"


async def test_a_session_is_loaded_by_its_id_alone(gateway: FakeGateway) -> None:
    async with editing(gateway, "", load=False) as editor:
        told = await editor.fails("session/load", sessionId="Build", cwd="/")
        assert told["code"] == -32002
        assert HERE in told["message"]
        both = [editor.begin("session/load", sessionId=HERE, cwd="/") for _ in range(2)]
        answers = [await editor.answer(asked) for asked in both]
        assert any("result" in answer for answer in answers)
        assert all(answer["error"]["code"] == -32800 for answer in answers if "error" in answer)  # taken over
        await editor.prompt("echo once")
        assert editor.text().count("once") == 1


async def test_closing_a_session_detaches_and_ends_nothing(gateway: FakeGateway) -> None:
    async with editing(gateway) as editor:
        asked = editor.begin_prompt("sleep")
        await editor.says("waiting")
        assert await editor.ask("session/close", sessionId=HERE) == {}
        assert (await editor.answer(asked))["result"]["stopReason"] == "cancelled"
        assert gateway.called("session.close") + gateway.called("session.interrupt") == []
        assert (await editor.fails("session/close", sessionId=HERE))["code"] == -32002


async def test_opened_again_a_session_keeps_the_prompts_that_are_waited_for(gateway: FakeGateway) -> None:
    async with editing(gateway) as editor:
        asked = editor.begin_prompt("sleep")
        await editor.says("waiting")
        await editor.ask("session/load", sessionId=HERE)
        await emit(gateway, TurnComplete(turn=1, status="complete"))
        assert (await editor.answer(asked))["result"]["stopReason"] == "end_turn"


# --- questions and options -------------------------------------------------------------------------------------------


async def test_a_permission_is_asked_and_its_answer_given(gateway: FakeGateway) -> None:
    async with editing(gateway) as editor:
        asked = editor.begin_prompt("choose Sure?")
        question = await editor.asked("session/request_permission")
        assert question["params"]["toolCall"]["title"] == "Sure?"
        editor.send({"id": question["id"], "result": {"outcome": {"outcome": "selected", "optionId": "y"}}})
        assert (await editor.answer(asked))["result"]["stopReason"] == "end_turn"
        assert gateway.called("request.answer")[0].answer == "y"
        assert editor.updates("tool_call_update")[0]["status"] == "completed"


async def test_when_another_device_is_first_the_question_is_taken_back(gateway: FakeGateway) -> None:  # S9
    async with editing(gateway) as editor:
        editor.begin_prompt("choose Sure?")
        question = await editor.asked("session/request_permission")
        closed = RequestClosed(turn=1, request_id="r1", status="answered", answer="n", by=_sender())
        await emit(gateway, closed, *_reply(1, "refused\n"))
        taken_back = await editor.asked("$/cancel_request")
        assert taken_back["params"] == {"requestId": question["id"]}
        await editor.says("refused")
        editor.send({"id": question["id"], "result": {"outcome": {"outcome": "selected", "optionId": "y"}}})  # too late
        assert (await editor.prompt("echo on"))["result"]["stopReason"] == "end_turn"
        assert gateway.called("request.answer") == []


async def test_who_answers_too_late_is_told_who_was_first(gateway: FakeGateway) -> None:  # S9
    by_desk = Sender(device=DESK, name="desk")
    gateway.beaten_by = Answered(status="already-answered", by=by_desk, answer="n")
    async with editing(gateway) as editor:
        editor.begin_prompt("choose Sure?")
        question = await editor.asked("session/request_permission")
        editor.send({"id": question["id"], "result": {"outcome": {"outcome": "selected", "optionId": "y"}}})
        await editor.says("[desk answered first: No]")


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ({"answer": "g"}, "g"),
        ({"answer_custom": "mauve"}, "mauve"),
        ({"answer": "g", "answer_custom": "mauve"}, "mauve"),
    ],
)
async def test_own_words_are_taken_in_a_form(gateway: FakeGateway, content: Row, answer: str) -> None:
    colours = (Choice(id="r", name="Red"), Choice(id="g", name="Green"))
    gateway.requests["c"] = RequestOpen(
        turn=1, request_id="c", kind="choices", prompt="Which?", choices=colours, own_words=True
    )
    async with editing(gateway, can=FORMS) as editor:
        question = await editor.asked("elicitation/create")
        editor.send({"id": question["id"], "result": {"action": "accept", "content": content}})
        await until(lambda: bool(gateway.called("request.answer")))
        assert gateway.called("request.answer")[0].answer == answer


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ({"one": "g", "some": ["r"], "some_custom": "mauve"}, {"one": "g", "some": ["r", "mauve"]}),
        ({"one_custom": "mauve", "some_custom": "grey"}, {"one": "mauve", "some": ["grey"]}),
        ({"one_custom": "", "some": ["g"]}, {"some": ["g"]}),
    ],
)
async def test_own_words_beside_the_fields_of_a_form_are_part_of_them(
    gateway: FakeGateway, content: Row, answer: Row
) -> None:
    colours = (Choice(id="r", name="Red"), Choice(id="g", name="Green"))
    fields = (
        Field(name="one", type="choice", choices=colours, own_words=True),
        Field(name="some", type="choices", choices=colours, own_words=True),
    )
    gateway.requests["f"] = RequestOpen(turn=1, request_id="f", kind="form", prompt="Which?", fields=fields)
    async with editing(gateway, can=FORMS) as editor:
        question = await editor.asked("elicitation/create")
        editor.send({"id": question["id"], "result": {"action": "accept", "content": content}})
        await until(lambda: bool(gateway.called("request.answer")))
        assert gateway.called("request.answer")[0].answer == answer


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"code": -32601, "message": "method not found"}},
        {"error": "odd"},
        {"result": {"outcome": {"outcome": "cancelled"}}},
        {"result": {"outcome": {"outcome": "maybe"}}},
        {"result": None},
    ],
)
async def test_an_editor_that_does_not_answer_says_how_to(gateway: FakeGateway, answer: Row) -> None:
    async with editing(gateway) as editor:
        editor.begin_prompt("choose Sure?")
        question = await editor.asked("session/request_permission")
        editor.send({"id": question["id"], **answer})
        await editor.says(f"`agent answer {HERE} r1 ANSWER`")


async def test_a_question_that_goes_with_a_cancelled_turn_is_not_explained(gateway: FakeGateway) -> None:
    async with editing(gateway) as editor:
        asked = editor.begin_prompt("choose Sure?")
        question = await editor.asked("session/request_permission")
        editor.notify("session/cancel", sessionId=HERE)
        editor.send({"id": question["id"], "result": {"outcome": {"outcome": "cancelled"}}})
        assert (await editor.answer(asked))["result"]["stopReason"] == "cancelled"
        assert "agent answer" not in editor.text()


async def test_a_line_is_a_form_where_there_are_forms(gateway: FakeGateway) -> None:
    async with editing(gateway, can=FORMS) as editor:
        asked = editor.begin_prompt("ask Name?")
        question = await editor.asked("elicitation/create")
        assert question["params"]["message"] == "Name?"
        editor.send({"id": question["id"], "result": {"action": "accept", "content": {"answer": "Ann"}}})
        assert (await editor.answer(asked))["result"]["stopReason"] == "end_turn"
        assert gateway.called("request.answer")[0].answer == "Ann"
    async with editing(gateway) as editor:
        editor.begin_prompt("ask Name?")
        await editor.says("`agent answer")


async def test_a_secret_is_not_asked_in_an_editor(gateway: FakeGateway) -> None:
    async with editing(gateway, can=FORMS) as editor:
        editor.begin_prompt("secret Password?")
        await editor.says("agent answer")
        assert not any(message.get("method") == "elicitation/create" for message in editor.told)


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        ({"action": "accept", "content": {"name": "Ann", "tags": ["a"]}}, {"name": "Ann", "tags": ["a"]}),
        ({"action": "decline"}, "decline"),
    ],
)
async def test_a_form_is_filled_in(gateway: FakeGateway, result: Row, answer: object) -> None:
    request = RequestOpen(turn=1, request_id="f", kind="form", prompt="Who?", fields=(Field(name="name"),))
    gateway.requests["f"] = request
    async with editing(gateway, can=FORMS) as editor:  # it was open before: asked after the replay
        question = await editor.asked("elicitation/create")
        assert question["params"]["requestedSchema"]["properties"] == {"name": {"type": "string", "title": "name"}}
        editor.send({"id": question["id"], "result": result})
        await editor.says("got")
        assert gateway.called("request.answer")[0].answer == answer


async def test_options_are_told_and_set(gateway: FakeGateway) -> None:
    async with editing(gateway) as editor:
        await emit(gateway, SessionInfo(options=(MODE,), commands=(Command(name="init"),)))
        await editor.wait(lambda _: bool(editor.updates("current_mode_update")))
        await editor.ask("session/set_mode", sessionId=HERE, modeId="auto")
        told = await editor.ask("session/set_config_option", sessionId=HERE, configId="mode", value="ask")
        assert told["configOptions"][0]["currentValue"] == "ask"
        asked = [(call.option, call.value) for call in gateway.called("session.configure")]
        assert asked == [("mode", "auto"), ("mode", "ask")]
        assert (await editor.fails("session/set_model", sessionId=HERE, modelId="x"))["code"] == -32602
        assert await editor.fails("session/set_config_option", sessionId=HERE, configId="mode", value=True)
        assert editor.updates("available_commands_update")


# --- what is lost ----------------------------------------------------------------------------------------------------


async def test_a_restart_of_the_service_is_told_and_the_turn_ends(gateway: FakeGateway) -> None:  # S4, L5
    async with editing(gateway) as editor:
        asked = editor.begin_prompt("sleep")
        await editor.says("waiting")
        await asyncio.to_thread(gateway.stop)
        await editor.says("the service is away")
        await emit(gateway, MessageDelta(turn=1, text="meanwhile\n"))
        await asyncio.to_thread(gateway.start)
        await editor.says("meanwhile")
        await emit(gateway, MessageComplete(turn=1, text="waiting\nmeanwhile\n", status="complete"))
        await emit(gateway, TurnComplete(turn=1, status="complete"))
        assert (await editor.answer(asked))["result"]["stopReason"] == "end_turn"
        assert editor.text().count("waiting\n") == 1
        assert editor.text().count("meanwhile") == 1
        assert (await editor.prompt("echo on"))["result"]["stopReason"] == "end_turn"


async def test_a_log_that_began_anew_without_the_prompt_ends_its_turn_with_the_reason(
    gateway: FakeGateway,
) -> None:  # S15
    async with editing(gateway) as editor:
        asked = editor.begin_prompt("sleep")
        await editor.says("waiting")
        await asyncio.to_thread(gateway.stop)
        await editor.says("the service is away")
        gateway.put_back(MessageStart(turn=0), MessageDelta(turn=0, text="of before\n"))
        await asyncio.to_thread(gateway.start)
        await editor.says("began anew")
        await editor.says("of before")
        assert "began anew" in (await editor.answer(asked))["error"]["message"]
        assert "nothing was lost" not in editor.text()
        assert (await editor.prompt("echo on"))["result"]["stopReason"] == "end_turn"


async def test_a_lost_link_is_told(gateway: FakeGateway) -> None:
    async with editing(gateway) as editor:
        link = PeerLink(device=DESK, name="de\x1bsk", sessions=(HERE,))
        await asyncio.to_thread(gateway.tell, "peer.lost", link)
        await editor.says("[link to de�sk lost; nothing is lost, retrying]")
        await asyncio.to_thread(gateway.tell, "peer.back", link)
        await editor.says("is back]")


async def test_without_a_service_every_answer_says_so_until_it_is_there(gateway: FakeGateway) -> None:
    gateway.stop()
    async with editing(gateway, load=False) as editor:
        for method in ("session/new", "session/load", "session/list"):
            told = await editor.fails(method, cwd="/", sessionId=HERE)
            assert told["data"]["kind"] == "not-running"
            assert "agent up" in told["message"]
        await asyncio.to_thread(gateway.start)
        assert (await editor.ask("session/new", cwd="/"))["sessionId"] == HERE


async def test_a_session_that_ends_is_told(gateway: FakeGateway) -> None:
    async with editing(gateway) as editor:
        await emit(gateway, MessageStart(turn=0), SessionInfo(status="failed", note="killed"))
        await editor.says("[the session has failed: killed]")


async def test_the_end_of_the_input_detaches_and_ends_nothing(gateway: FakeGateway) -> None:
    async with editing(gateway) as editor:
        editor.begin_prompt("sleep")
        await editor.says("waiting")
        assert gateway.viewers == 1
    async with asyncio.timeout(SECONDS):
        while gateway.viewers:
            await asyncio.to_thread(gateway.tell, "session.participants", {})  # a round through the gateway's thread
    assert gateway.called("session.interrupt") + gateway.called("session.close") == []


# --- the command -----------------------------------------------------------------------------------------------------


def run(*argv: str, given: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent", "acp", *argv], input=given, capture_output=True, text=True, check=False,
        timeout=30, **more,
    )  # fmt: skip


def lines(*messages: Row) -> str:
    return "".join(json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in messages)


def test_stdout_carries_the_protocol_alone_and_eof_is_the_end(gateway: FakeGateway) -> None:
    given = "garbage\n\n" + lines(
        {"id": 1, "method": "initialize", "params": {"protocolVersion": 1}},
        {"id": "two", "method": "session/new", "params": {"cwd": "/"}},
    )
    ran = run("Build", given=given)
    assert (ran.returncode, ran.stderr) == (0, "")
    told = {message.get("id"): message for message in map(json.loads, ran.stdout.splitlines())}
    assert set(told) == {None, 1, "two"}
    assert told["two"]["result"] == {"sessionId": HERE}


def test_a_file_is_read_as_a_pipe_is(gateway: FakeGateway, tmp_path: Path) -> None:
    given, out = tmp_path / "in", tmp_path / "out"
    given.write_text(lines({"id": 1, "method": "initialize", "params": {}}).rstrip("\n"))
    with given.open() as source, out.open("w") as sink:
        command = [sys.executable, "-m", "agent", "acp"]
        assert subprocess.run(command, stdin=source, stdout=sink, check=False, timeout=30).returncode == 0
    assert json.loads(out.read_text())["result"]["protocolVersion"] == 1


def test_initialize_waits_for_nothing_heavy(home: Path) -> None:
    program = (
        "import sys\nfrom agent.frontends.cli.main import main\nstatus = main(['acp'])\n"
        "sys.exit(str((int(status), 'aiohttp' in sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], input=lines({"id": 1, "method": "initialize"}), capture_output=True, text=True,
        check=False, timeout=30,
    )  # fmt: skip
    assert json.loads(ran.stdout)["id"] == 1
    assert ran.stderr.strip() == "(0, False)"


def test_options_are_for_new_sessions_alone(agent: Agent) -> None:
    ran = agent("acp", "Build", "--on", "desk")
    assert (ran.status, ran.out) == (2, "")
    assert "without SESSION" in ran.err


async def test_a_line_that_is_too_long_is_told_and_the_next_one_read() -> None:
    source, feed = os.pipe()
    drain, sink = os.pipe()
    pipes = Pipes(source, sink)

    def write() -> None:
        with os.fdopen(feed, "wb") as stream:
            stream.write(b"x" * (LINE_MAX + 100_000) + b"\nnext\n\n  \nlast")

    writing = asyncio.get_running_loop().run_in_executor(None, write)
    found = [line async for line in pipes.lines()]
    await writing
    assert found == [b"(too long)", b"next", b"last"]
    for end in (source, drain, sink):
        os.close(end)


async def test_a_reader_that_leaves_ends_the_lines() -> None:
    source, feed = os.pipe()
    drain, sink = os.pipe()
    os.close(drain)
    pipes = Pipes(source, sink)
    await pipes.write(b"to nobody")
    async with asyncio.timeout(SECONDS):
        assert [line async for line in pipes.lines()] == []
        await pipes.write(b"again")
        await pipes.flush()
    for end in (source, feed, sink):
        os.close(end)


async def test_a_slow_reader_holds_the_writer_up_and_gets_everything() -> None:
    source, feed = os.pipe()
    drain, sink = os.pipe()
    pipes = Pipes(source, sink)
    line = b"x" * 999_999

    async def write() -> None:
        for _ in range(4):
            await pipes.write(line)
        await pipes.flush()

    def read() -> int:
        size = 0
        while size < 4_000_000:
            size += len(os.read(drain, 65_536))
        return size

    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(write(), name="tests.write")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(writing), 0.05)
        assert await asyncio.to_thread(read) == 4_000_000
    for end in (source, feed, drain, sink):
        os.close(end)
