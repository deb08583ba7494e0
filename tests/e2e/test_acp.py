"""`agent acp`, driven by the protocol's own SDK as an editor would: sessions that run on another device."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import networks
from tests.e2e.device import PATIENCE, PROGRAM, ROOT, Device, now, pair

if sys.version_info >= (3, 15):
    pytest.skip("agent-client-protocol has no release for this Python", allow_module_level=True)

from acp import PROTOCOL_VERSION, spawn_agent_process, text_block
from acp.client.connection import ClientSideConnection
from acp.exceptions import RequestError
from acp.schema import (
    AcceptElicitationResponse,
    AgentMessageChunk,
    AgentPlanUpdate,
    AgentThoughtChunk,
    AllowedOutcome,
    ClientCapabilities,
    ElicitationCapabilities,
    ElicitationFormCapabilities,
    RequestPermissionResponse,
    SessionInfoUpdate,
    ToolCallProgress,
    ToolCallStart,
    UserMessageChunk,
)

pytestmark = pytest.mark.device

Household = tuple[Device, Device]


@pytest.fixture(scope="module")
def household(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    """A desk, which has a backend of another package, and a laptop, on which the editor is."""
    package = tmp_path_factory.mktemp("package") / "asking-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: asking\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[lan_agent.backends]\nasking = tests.e2e.asking_backend:AskingBackend\n")
    with networks() as network:
        desk, laptop = network("desk", "laptop")
        desk.environ["PYTHONPATH"] = f"{ROOT}:{package.parent}"
        for device in (desk, laptop):
            device.start()
        for device in (desk, laptop):
            device.wait_until_up()
        pair(desk, laptop)
        yield desk, laptop


async def eventually(true: Callable[[], Any], what: str) -> Any:
    """Wait until it is true; its value."""
    end = now() + PATIENCE
    while not (found := true()):
        assert now() < end, f"waited for {what}"
        await asyncio.sleep(0.02)
    return found


class Editor:
    """What the SDK calls; it keeps everything."""

    def __init__(self) -> None:
        self.updates: list[Any] = []
        self.asked: list[str] = []
        self.taken_back: list[object] = []
        self.choose: asyncio.Future[str] | None = None  # who chooses; None: at once, the first option
        self.line = "forty-two"

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        self.updates.append(update)

    async def request_permission(self, session_id: str, tool_call: Any, options: Any, **_: Any) -> Any:
        self.asked.append(str(tool_call.title))
        chosen = options[0].option_id if self.choose is None else await self.choose
        return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=chosen))

    async def create_elicitation(self, message: str, mode: Any, **_: Any) -> Any:
        self.asked.append(message)
        return AcceptElicitationResponse(action="accept", content={"answer": self.line})

    def saw(self, event: Any) -> None:
        """Every message as it is on the wire."""
        if event.message.get("method") == "$/cancel_request":
            self.taken_back.append(event.message["params"]["requestId"])

    def text(self, kind: type[Any] = AgentMessageChunk) -> str:
        return "".join(update.content.text for update in self.updates if isinstance(update, kind))

    def of(self, kind: type) -> list[Any]:
        return [update for update in self.updates if isinstance(update, kind)]


@asynccontextmanager
async def editing(device: Device, *argv: str) -> AsyncIterator[tuple[Editor, ClientSideConnection, Any]]:
    """An editor on that device that has started `agent acp`."""
    editor = Editor()
    command = ["ip", "netns", "exec", device.host.namespace, *PROGRAM, "acp", *argv]
    async with spawn_agent_process(
        editor,  # type: ignore[arg-type]  # it has the callbacks that are used
        *command,
        env=device.environ,
        transport_kwargs={"stderr": None},
        observers=[editor.saw],
        use_unstable_protocol=True,  # the SDK's word for forms
    ) as (connection, process):
        told = await connection.initialize(
            protocol_version=PROTOCOL_VERSION,
            client_capabilities=ClientCapabilities(
                elicitation=ElicitationCapabilities(form=ElicitationFormCapabilities())
            ),
        )
        assert told.protocol_version == 1
        assert told.agent_capabilities is not None
        assert told.agent_capabilities.load_session
        yield editor, connection, process


async def ask(connection: ClientSideConnection, session: str, text: str) -> str:
    """Prompt; the reason for the end of the turn."""
    async with asyncio.timeout(2 * PATIENCE):
        return str((await connection.prompt(session_id=session, prompt=[text_block(text)])).stop_reason)


async def test_a_session_of_another_device_is_loaded_prompted_and_cancelled(household: Household) -> None:
    desk, laptop = household
    session = await asyncio.to_thread(desk.create, "Build")
    await asyncio.to_thread(desk.run, "prompt", session, "echo before the editor")
    await asyncio.to_thread(laptop.wait_for_session, session)
    async with editing(laptop, "desk/Build") as (editor, connection, process):
        listed = (await connection.list_sessions()).sessions
        assert [(row.session_id, row.title) for row in listed] == [(session, "[desk] Build")]
        await connection.load_session(cwd="/", session_id=session, mcp_servers=[])
        await eventually(lambda: "before the editor" in editor.text(), "the replay")
        assert editor.text(UserMessageChunk) == "[desk] echo before the editor"  # S7
        assert editor.of(SessionInfoUpdate)[-1].title == "[desk] Build"

        editor.updates.clear()
        assert await ask(connection, session, "for i in 1 2 3; do echo piece $i; sleep 0.3; done") == "end_turn"
        await eventually(lambda: "piece 3" in editor.text(), "the reply")
        assert len(editor.of(AgentMessageChunk)) >= 3  # it streamed: two pieces at least, and the end of the block
        assert editor.text(UserMessageChunk) == ""  # its own prompt is the editor's to show
        assert await ask(connection, session, "(exit 3)") == "end_turn"
        await eventually(lambda: "[exit status 3]" in editor.text(), "the status")

        editor.updates.clear()
        turn = asyncio.get_running_loop().create_task(ask(connection, session, "echo started; sleep 60"))
        await eventually(lambda: "started" in editor.text(), "the turn's beginning")
        await connection.cancel(session_id=session)
        assert await turn == "cancelled"

        # Somebody else's prompt, while this one waits behind it.
        editor.updates.clear()
        await asyncio.to_thread(desk.run, "prompt", session, "--no-wait", "echo of the desk; sleep 1")
        assert await ask(connection, session, "echo of the editor") == "end_turn"
        await eventually(lambda: "of the editor" in editor.text(), "both replies")
        assert "of the desk" in editor.text()
        assert editor.text(UserMessageChunk) == "[desk] echo of the desk; sleep 1"

        with pytest.raises(RequestError) as refused:
            await connection.load_session(cwd="/", session_id="another", mcp_servers=[])
        assert refused.value.code == -32002
    assert process.returncode == 0  # its input ended
    assert desk.status_of(session) == "idle"  # S6: the session goes on
    senders = [e["payload"]["sender"]["name"] for e in desk.events(session) if e["type"] == "message.user"]
    assert senders == ["desk", "laptop", "laptop", "laptop", "desk", "laptop"]


async def test_a_program_that_asks_for_a_line_asks_in_the_editor(household: Household) -> None:
    desk, laptop = household
    session = await asyncio.to_thread(desk.create, "Questions")
    await asyncio.to_thread(laptop.wait_for_session, session)
    async with editing(laptop, session) as (editor, connection, _):
        opened = await connection.new_session(cwd="/nowhere", mcp_servers=[])
        assert opened.session_id == session
        assert await ask(connection, session, 'read -p "Your number? " n; echo "got $n"') == "end_turn"
        await eventually(lambda: "got forty-two" in editor.text(), "the answer in the shell")
        assert len(editor.asked) == 1


async def test_a_permission_travels_and_the_first_answer_wins(household: Household) -> None:
    desk, laptop = household
    session = await asyncio.to_thread(desk.create, "Asking", "--backend", "asking")
    await asyncio.to_thread(laptop.wait_for_session, session)
    async with editing(laptop, session) as (editor, connection, _):
        await connection.load_session(cwd="/", session_id=session, mcp_servers=[])
        assert await ask(connection, session, "one") == "end_turn"
        await eventually(lambda: "one: once" in editor.text(), "what the editor allowed")
        assert editor.asked == ["Write?"]
        assert editor.text(AgentThoughtChunk) == "It wants a file."
        assert [entry.content for entry in editor.of(AgentPlanUpdate)[0].entries] == ["write it"]
        assert [(call.title, call.kind) for call in editor.of(ToolCallStart)] == [
            ("Write notes.txt", "edit"),
            ("Write?", None),
        ]
        diffs = [content for update in editor.of(ToolCallProgress) for content in update.content or []]
        assert [(each.path, each.old_text, each.new_text) for each in diffs if each.type == "diff"] == [
            ("/src/notes.txt", None, "one\n")
        ]

        # S9: the desk answers first; the editor is told that it is no longer asked.
        editor.choose = asyncio.get_running_loop().create_future()
        turn = asyncio.get_running_loop().create_task(ask(connection, session, "two"))
        await eventually(lambda: len(editor.asked) == 2, "the second question")
        await asyncio.to_thread(desk.run, "answer", session, "no")
        assert await turn == "end_turn"
        await eventually(lambda: "two: no" in editor.text(), "what the desk refused")
        assert len(editor.taken_back) == 1
        editor.choose.set_result("once")  # too late

        # A turn that asks can be cancelled.
        editor.choose = asyncio.get_running_loop().create_future()
        turn = asyncio.get_running_loop().create_task(ask(connection, session, "three"))
        await eventually(lambda: len(editor.asked) == 3, "the third question")
        await connection.cancel(session_id=session)
        assert await turn == "cancelled"
        editor.choose.set_result("once")

        # An option that is set in the editor holds over there.
        editor.choose = None
        await connection.set_session_mode(session_id=session, mode_id="auto")
        assert await ask(connection, session, "four") == "end_turn"
        await eventually(lambda: "four: once" in editor.text(), "the turn that did not ask")
        assert len(editor.asked) == 3


async def test_without_a_session_there_are_all_and_new_ones_on_that_device(household: Household) -> None:
    desk, laptop = household
    kept = await asyncio.to_thread(laptop.create, "Here")
    async with editing(laptop, "--on", "desk", "--backend", "shell") as (editor, connection, _):
        created = (await connection.new_session(cwd="/", mcp_servers=[])).session_id
        assert await ask(connection, created, "echo $HOME on the desk") == "end_turn"
        await eventually(lambda: f"{desk.home.parent} on the desk" in editor.text(), "the reply")
        ids = [row.session_id for row in (await connection.list_sessions(cwd="/somewhere")).sessions]
        assert {kept, created} <= set(ids)
        await connection.load_session(cwd="/", session_id=kept, mcp_servers=[])
        assert await ask(connection, kept, "echo and here") == "end_turn"
    assert desk.sessions()[created]["local"]


async def test_a_restart_of_the_own_service_loses_and_repeats_nothing(household: Household) -> None:
    # S3, S4, L5: the laptop's service is killed in the middle of a reply that comes from the desk.
    desk, laptop = household
    session = await asyncio.to_thread(desk.create, "Long")
    await asyncio.to_thread(laptop.wait_for_session, session)
    async with editing(laptop, session) as (editor, connection, _):
        await connection.load_session(cwd="/", session_id=session, mcp_servers=[])
        command = "for i in $(seq 30); do echo piece $i.; sleep 0.1; done"
        turn = asyncio.get_running_loop().create_task(ask(connection, session, command))
        await eventually(lambda: "piece 3." in editor.text(), "the reply's beginning")
        laptop.kill()
        await asyncio.to_thread(laptop.up)
        assert await turn == "end_turn"
        await eventually(lambda: "piece 30." in editor.text(), "the reply's end")
        pieces = [word for word in editor.text().split() if word.endswith(".") and word[:-1].isdecimal()]
        assert pieces == [f"{i}." for i in range(1, 31)]
        assert "[the service is away; waiting for it]" in editor.text()


def test_the_sdk_is_an_independent_client() -> None:
    # Of the protocol only: it must not be what the command itself is made of.
    sources = [path.read_text() for path in Path(ROOT, "agent").rglob("*.py")]
    assert not any("import acp" in source or "from acp" in source for source in sources)
