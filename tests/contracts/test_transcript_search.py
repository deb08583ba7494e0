"""What every `ports.TranscriptStore` finds of what was said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.adapters.storage.sqlite import SqliteTranscripts
from agent.ports import SessionMeta, TranscriptStore
from agent.protocol.events import (
    Diff,
    MessageComplete,
    MessageDelta,
    Payload,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    ThoughtDelta,
    ToolComplete,
    ToolStart,
    UserMessage,
    make_event,
)
from agent.protocol.model import DeviceId, Sender, SessionId
from agent.protocol.searching import TOOL_MAX, terms_of
from tests.fakes.transcripts import MemoryTranscripts

NOW = 1_800_000_000.0
ONE, TWO = SessionId("one"), SessionId("two")
LAPTOP = Sender(device=DeviceId("laptop"), name="laptop")


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TranscriptStore]:
    made: TranscriptStore = (
        MemoryTranscripts() if request.param == "memory" else SqliteTranscripts(tmp_path / "transcripts.db")
    )
    for session in (ONE, TWO):
        await made.put(SessionMeta(id=session, epoch="e1", backend="shell", created_at=NOW))
    yield made
    await made.close()


def asked(text: str, turn: int = 1) -> UserMessage:
    return UserMessage(turn=turn, prompt_id=f"p{turn}", text=text, sender=LAPTOP)


def said(text: str, turn: int = 1) -> MessageComplete:
    return MessageComplete(turn=turn, text=text, status="complete")


async def log(store: TranscriptStore, session: SessionId, *payloads: Payload, at: float = NOW) -> None:
    first = await store.last_seq(session) + 1
    await store.append(session, [make_event(first + i, payload, at + i) for i, payload in enumerate(payloads)])


async def found(store: TranscriptStore, query: str, limit: int = 20) -> list[tuple[str, int]]:
    matches = await store.search(terms_of(query), limit)
    return [(match.session, match.event.seq) for match in matches.found]


async def test_prompts_replies_tools_and_questions_are_found(store: TranscriptStore) -> None:
    await log(
        store,
        ONE,
        asked("mend the pump"),
        said("the valve was stuck"),
        ToolStart(turn=1, tool_id="t", title="Read basement.txt", input="cellar"),
        ToolComplete(
            turn=1, tool_id="t", status="complete", output="gasket missing", diffs=(Diff(path="src/flow.py", patch=""),)
        ),
        RequestOpen(turn=1, request_id="r", kind="line", prompt="order a gasket?", detail="from the shop"),
        RequestClosed(turn=1, request_id="r", status="answered", answer="tomorrow"),
        SessionInfo(title="Waterworks"),
    )
    words = ["pump", "valve", "basement", "cellar", "missing", "flow.py", "shop", "tomorrow", "waterworks"]
    assert [await found(store, word) for word in words] == [[(ONE, seq)] for seq in (1, 2, 3, 3, 4, 4, 5, 6, 7)]


async def test_what_only_adds_to_a_later_event_is_found_once(store: TranscriptStore) -> None:
    await log(store, ONE, MessageDelta(turn=1, text="stuck"), ThoughtDelta(turn=1, text="stuck"), said("stuck"))
    assert await found(store, "stuck") == [(ONE, 3)]


async def test_all_words_must_be_in_one_event_and_a_phrase_in_its_order(store: TranscriptStore) -> None:
    await log(store, ONE, asked("red valve"), said("blue pump"), said("the pump is red"))
    assert await found(store, "red pump") == [(ONE, 3)]
    assert await found(store, '"pump is"') == [(ONE, 3)]
    assert await found(store, '"is pump"') == []


async def test_a_word_is_a_whole_one_unless_it_ends_in_a_star(store: TranscriptStore) -> None:
    await log(store, ONE, asked("pumping station"))
    assert await found(store, "pump") == []
    assert await found(store, "pump*") == [(ONE, 1)]
    assert await found(store, '"pumping sta"*') == [(ONE, 1)]


async def test_neither_case_nor_accents_count(store: TranscriptStore) -> None:
    await log(store, ONE, asked("Café MÜNCHEN Ελλάδα"))
    for word in ("cafe", "CAFÉ", "cafe\u0301", "munchen", "ελλαδα"):
        assert await found(store, word) == [(ONE, 1)], word


@pytest.mark.parametrize(
    "word", ["水泵", "泵", "泵坏了", "坏", "ポンプ", "ンプ", "壊れた", "펌프", "펌", "ปั๊ม", "น้ำ", "漏水。水泵"]
)
async def test_any_part_of_a_text_without_spaces_is_found(store: TranscriptStore, word: str) -> None:
    await log(store, ONE, asked("地下室漏水。水泵坏了"), asked("ポンプが壊れた", 2), asked("펌프가고장났다", 3))
    await log(store, ONE, asked("ปั๊มน้ำเสีย", 4), asked("水と泵", 5))
    assert len(await found(store, word)) >= 1


async def test_characters_of_a_text_without_spaces_count_in_their_order(store: TranscriptStore) -> None:
    await log(store, ONE, asked("水と泵"), asked("泵水", 2))
    assert await found(store, "水泵") == []


async def test_a_name_of_code_is_found_by_itself_and_by_its_parts(store: TranscriptStore) -> None:
    await log(store, ONE, asked("call prompt.withdraw_now(3)"))
    for word in ("prompt.withdraw_now", "withdraw", "withdraw_now(3)", "prompt.with*"):
        assert await found(store, word) == [(ONE, 1)], word


@pytest.mark.parametrize("query", ['"', "AND", "NEAR(", "a OR", "-pump", "text:pump", "{", "^p", "pump\0", "'", "*a"])
async def test_nothing_that_is_typed_is_an_error(store: TranscriptStore, query: str) -> None:
    await log(store, ONE, asked("pump"))
    await found(store, query)


async def test_the_newest_come_first_and_whether_there_are_more_is_told(store: TranscriptStore) -> None:
    await log(store, ONE, asked("pump"), said("pump"))
    await log(store, TWO, asked("pump"), at=NOW + 60)
    assert await found(store, "pump") == [(TWO, 1), (ONE, 2), (ONE, 1)]
    matches = await store.search(terms_of("pump"), 2)
    assert ([match.session for match in matches.found], matches.more) == ([TWO, ONE], True)
    assert not (await store.search(terms_of("pump"), 3)).more


async def test_only_sessions_that_are_asked_for_are_searched(store: TranscriptStore) -> None:
    await log(store, ONE, asked("pump"))
    await log(store, TWO, asked("pump"))
    matches = await store.search(terms_of("pump"), 1, {ONE})
    assert ([match.session for match in matches.found], matches.more) == ([ONE], False)
    assert (await store.search(terms_of("pump"), 1, set())).found == []


async def test_head_and_tail_of_a_long_output_are_searched(store: TranscriptStore) -> None:
    output = f"begin {'x ' * TOOL_MAX} middle {'x ' * TOOL_MAX} finish"
    await log(store, ONE, ToolComplete(turn=1, tool_id="t", status="error", output=output))
    assert await found(store, "begin") == await found(store, "finish") == [(ONE, 1)]
    assert await found(store, "middle") == []


async def test_what_was_removed_is_not_found(store: TranscriptStore) -> None:
    await log(store, ONE, *(asked(f"pump {turn}", turn) for turn in range(1, 1200)))
    await log(store, TWO, asked("pump"))
    before = await store.size()
    await store.remove(ONE)
    await store.purge()
    assert await found(store, "pump") == [(TWO, 1)]
    assert await store.last_seq(ONE) == 0
    assert await store.size() < before
