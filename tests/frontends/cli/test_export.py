"""`agent log --export`: a transcript as a document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.protocol.events import (
    Choice,
    Diff,
    MessageComplete,
    MessageDelta,
    MessageStart,
    Payload,
    PlanEntry,
    PlanUpdate,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    ThoughtDelta,
    ToolComplete,
    ToolStart,
    TurnComplete,
    UserMessage,
)
from agent.protocol.model import DeviceId, Sender
from tests.frontends.conftest import Agent
from tests.frontends.gateway import HERE, FakeGateway, session

LAPTOP = Sender(device=DeviceId("laptop"), name="laptop")


def asked(text: str, turn: int = 1, *, queued: bool = False) -> UserMessage:
    return UserMessage(turn=turn, prompt_id=f"p{turn}", text=text, sender=LAPTOP, queued=queued)


def turn(*payloads: Payload, status: str = "complete") -> list[Payload]:
    return [asked("mend\nit"), MessageStart(turn=1), *payloads, TurnComplete(turn=1, status=status)]  # type: ignore[arg-type]  # one of three


def said(text: str) -> MessageComplete:
    return MessageComplete(turn=1, text=text, status="complete")


def markdown(gateway: FakeGateway, agent: Agent, *payloads: Payload, backend: str = "acp") -> str:
    gateway.sessions[0] = session(backend=backend)
    gateway.emit(*payloads)
    ran = agent("log", HERE, "--export", "md")
    assert (ran.status, ran.err) == (0, "")
    return ran.out


def test_a_document_says_what_it_is_of(gateway: FakeGateway, agent: Agent) -> None:
    text = markdown(gateway, agent, *turn(said("**done**")))
    assert text.startswith(f"# Build\n\n- Session: {HERE}\n- Device: laptop\n- Backend: acp\n")
    assert "## laptop · 20" in text
    assert "\n> mend\n> it\n" in text
    assert "\n**done**\n" in text


def test_what_a_shell_said_is_fenced_longer_than_any_fence_in_it(gateway: FakeGateway, agent: Agent) -> None:
    text = markdown(gateway, agent, *turn(said("a\n````\n# no heading\x1b[31m\n")), backend="shell")
    assert "`````\na\n````\n# no heading\n`````" in text


def test_a_fence_that_a_reply_leaves_open_is_closed_after_it(gateway: FakeGateway, agent: Agent) -> None:
    text = markdown(gateway, agent, *turn(said("look:\n```python\nx = 1")), asked("more", 2))
    assert "```python\nx = 1\n```\n" in text
    assert text.index("x = 1\n```") < text.index("> more")


def test_tags_in_a_reply_hide_nothing_that_follows_and_code_stays_as_it_is(gateway: FakeGateway, agent: Agent) -> None:
    code = "```html\n<p>\n~~~\n```\n~~~\n```\n~~~\n"
    text = markdown(gateway, agent, *turn(said(f"<!-- a\n1 < 2 `<b>` <details>\n{code}<!--")))
    assert f"&lt;!-- a\n1 < 2 `<b>` &lt;details>\n{code}&lt;!--\n" in text


def test_tools_are_folded_with_what_they_said_and_changed(gateway: FakeGateway, agent: Agent) -> None:
    changed = Diff(path="a_b.py", patch="-x\n+y")
    text = markdown(
        gateway,
        agent,
        *turn(
            ToolStart(turn=1, tool_id="t", title="Edit <b>", input="sed"),
            ToolComplete(
                turn=1,
                tool_id="t",
                status="error",
                output="</details>\n```",
                diffs=(changed,),
            ),
            ToolStart(turn=1, tool_id="u", title="Never done"),
        ),
    )
    assert (
        "<details><summary>Tool: Edit &lt;b&gt; (failed)</summary>\n\n```\nsed\n```\n\n````\n</details>\n```\n````"
        in text
    )
    assert "a\\_b.py:\n\n```diff\n-x\n+y\n```\n\n</details>" in text
    assert "Never done (interrupted)" in text


def test_questions_answers_plans_thoughts_and_ends_are_there(gateway: FakeGateway, agent: Agent) -> None:
    yes = Choice(id="y", name="Yes")
    text = markdown(
        gateway,
        agent,
        *turn(
            ThoughtDelta(turn=1, text="hm "),
            ThoughtDelta(turn=1, text="well"),
            PlanUpdate(turn=1, entries=(PlanEntry(text="one", status="completed"), PlanEntry(text="two"))),
            RequestOpen(turn=1, request_id="r", kind="choices", prompt="really?", choices=(yes,)),
            RequestClosed(turn=1, request_id="r", status="answered", answer="y", by=LAPTOP),
            status="interrupted",
        ),
        SessionInfo(status="ended", note="closed by den"),
    )
    parts = ["hm well", "**Question:** really?", "- Yes", "**Answer (laptop):** Yes", "- [x] one\n- [ ] two",
             "*interrupted*", "*the session has ended: closed by den*"]  # fmt: skip
    assert [text.find(part) > 0 for part in parts] == [True] * len(parts)
    assert [text.index(part) for part in parts] == sorted(text.index(part) for part in parts)


def test_a_prompt_that_waited_stands_where_its_turn_began_and_one_that_waits_at_the_end(
    gateway: FakeGateway, agent: Agent
) -> None:
    text = markdown(
        gateway,
        agent,
        asked("first"),
        MessageStart(turn=1),
        asked("second", 2, queued=True),
        asked("third", 3, queued=True),
        said("one"),
        TurnComplete(turn=1, status="complete"),
        MessageStart(turn=2),
        MessageDelta(turn=2, text="tw"),
        MessageDelta(turn=2, text="o…"),
    )
    parts = ["> first", "\none\n", "> second", "\ntwo…\n", "laptop · waits", "> third"]
    assert [text.index(part) for part in parts] == sorted(text.index(part) for part in parts)


def test_nothing_in_a_document_drives_a_terminal(gateway: FakeGateway, agent: Agent) -> None:
    evil = "a\x1b[2Jb\x07\u202ec"
    text = markdown(
        gateway,
        agent,
        asked(evil),
        MessageStart(turn=1),
        said(evil),
        ToolStart(turn=1, tool_id="t", title=evil, input=evil),
        ToolComplete(turn=1, tool_id="t", status="complete", output=evil),
        TurnComplete(turn=1, status="complete", error=evil),
    )
    assert not set("\x1b\x07\u202e") & set(text)


def test_json_has_the_session_and_every_event_whole(gateway: FakeGateway, agent: Agent, tmp_path: Path) -> None:
    gateway.emit(*turn(MessageDelta(turn=1, text="do"), said("done")))
    file = tmp_path / "log.json"
    ran = agent("log", "Build", "--export", "json", "-o", str(file))
    assert (ran.status, ran.out) == (0, "")
    assert str(file) in ran.err
    assert file.stat().st_mode & 0o077 == 0
    document = json.loads(file.read_text(encoding="utf-8"))
    assert (document["session"]["title"], document["epoch"]) == ("Build", "e1")
    assert [event["seq"] for event in document["events"]] == [1, 2, 3, 4, 5]
    assert document["events"][3]["payload"]["text"] == "done"


def test_no_file_is_made_of_a_session_that_is_not_there(gateway: FakeGateway, agent: Agent, tmp_path: Path) -> None:
    assert agent("log", "nosuch", "--export", "md", "-o", str(tmp_path / "out.md")).status == 4
    assert not (tmp_path / "out.md").exists()


def test_a_file_that_cannot_be_written_is_one_line(gateway: FakeGateway, agent: Agent, tmp_path: Path) -> None:
    ran = agent("log", HERE, "--export", "md", "-o", str(tmp_path / "no" / "such"))
    assert ran.status == 1
    assert "cannot be written" in ran.err


@pytest.mark.parametrize("options", [("--export", "md", "--follow"), ("--export", "md", "--json"), ("-o", "x")])
def test_options_that_do_not_go_together_are_told(gateway: FakeGateway, agent: Agent, options: tuple[str, ...]) -> None:
    assert agent("log", HERE, *options).status == 2
