"""The full-text index in the file: what becomes of it over versions, damage and deletion."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest

from agent.adapters.storage.search_index import STEP
from agent.adapters.storage.sqlite import SqliteTranscripts
from agent.errors import StateError, StoreFull
from agent.ports import SessionMeta
from agent.protocol.events import Event, MessageComplete, MessageDelta, ToolComplete, UserMessage, make_event
from agent.protocol.model import DeviceId, Sender, SessionId
from agent.protocol.searching import Match, excerpt, searchable, terms_of

NOW = 1_800_000_000.0
ONE, TWO = SessionId("one"), SessionId("two")
LAPTOP = Sender(device=DeviceId("laptop"), name="laptop")
TABLES = ("search2", "search2_entry", "search2_progress")


def prompts(first: int, last: int, text: str = "pump") -> Iterator[Event]:
    for seq in range(first, last + 1):
        message = UserMessage(turn=seq, prompt_id=f"p{seq}", text=f"{text} number{seq}", sender=LAPTOP)
        yield make_event(seq, message, NOW + seq)


async def written(path: Path, events: int, *, text: str = "pump", search: str = "fts5") -> None:
    store = SqliteTranscripts(path, search=search)
    for session in (ONE, TWO):
        await store.put(SessionMeta(id=session, epoch="e1", backend="shell", created_at=NOW))
    await store.append(ONE, list(prompts(1, events, text)))
    await store.close()


async def hits_of(path: Path, query: str) -> Sequence[Match]:
    store = SqliteTranscripts(path)
    while True:
        found = await store.search(terms_of(query), 100_000)
        if not found.unread:
            await store.close()
            return found.found


async def hits(path: Path, query: str = "pump") -> int:
    return len(await hits_of(path, query))


def plain(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


async def test_a_database_of_before_is_indexed_in_small_steps(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    await written(path, 5000, search="none")
    with closing(plain(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'search%'").fetchone() == (0,)
    store = SqliteTranscripts(path)
    first = await store.search(terms_of("pump"), 100_000)
    assert first.unread  # it answers before all is read
    assert len(first.found) < STEP
    await store.append(ONE, list(prompts(5001, 5001)))  # and goes on storing
    await store.close()
    assert await hits(path) == 5001


async def test_what_was_written_without_the_index_is_found_later(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    await written(path, 3)
    assert await hits(path) == 3
    store = SqliteTranscripts(path, search="none")  # another Python, or an older version of ours
    await store.append(ONE, list(prompts(4, 9)))
    await store.close()
    assert await hits(path) == 9


async def test_without_fts5_everything_else_works_and_a_search_says_why_not(tmp_path: Path) -> None:
    store = SqliteTranscripts(tmp_path / "t.db", search="none")
    await store.put(SessionMeta(id=ONE, epoch="e1", backend="shell", created_at=NOW))
    await store.append(ONE, list(prompts(1, 3)))
    with pytest.raises(StateError, match="without FTS5") as caught:
        await store.search(terms_of("pump"), 10)
    assert "agent log" in caught.value.hint
    assert await store.last_seq(ONE) == 3
    await store.remove(ONE)
    await store.purge()
    assert await store.sessions() == []
    await store.close()


@pytest.mark.parametrize("search", ["fts5", "none"])
async def test_what_was_forgotten_is_nowhere_in_the_file(tmp_path: Path, search: str) -> None:
    path = tmp_path / "t.db"
    files = [path, path.with_name("t.db-wal")]
    store = SqliteTranscripts(path, search=search)
    for session in (ONE, TWO):
        await store.put(SessionMeta(id=session, epoch="e1", backend="shell", created_at=NOW))
    await store.append(ONE, list(prompts(1, 1500, "xylophone")))
    await store.append(ONE, [make_event(1501, MessageDelta(turn=1, text="xylophone"), NOW)])
    await store.append(TWO, list(prompts(1, 1500, "harmonica")))
    if search == "fts5":
        assert (await store.search(terms_of("xylophone"), 1)).found
    assert any(b"xylophone" in file.read_bytes() for file in files)
    await store.remove(ONE)
    await store.purge()
    for file in files:
        assert b"ylophon" not in file.read_bytes()  # words of an index share their beginnings
    assert len(await store.read(TWO, 0, 5000)) == 1500
    await store.close()


async def test_the_file_shrinks_when_something_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    await written(path, 5000)
    store = SqliteTranscripts(path)
    await store.search(terms_of("pump"), 1)
    before = path.stat().st_size
    await store.remove(ONE)
    await store.purge()
    assert path.stat().st_size < before / 4
    await store.close()


async def test_a_session_that_takes_the_place_of_a_forgotten_one_is_indexed_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    store = SqliteTranscripts(path)
    for session in (ONE, TWO):  # SQLite gives the second one the number of the first
        await store.put(SessionMeta(id=session, epoch="e1", backend="shell", created_at=NOW))
        await store.append(session, list(prompts(1, 3)))
        found = await store.search(terms_of("pump"), 10)
        assert {(match.session, match.event.seq) for match in found.found} == {(session, 1), (session, 2), (session, 3)}
        await store.remove(session)
    assert (await store.search(terms_of("pump"), 10)).found == []
    await store.close()


async def test_a_damaged_index_hurts_no_transcript_and_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    await written(path, 300)
    assert await hits(path) == 300
    with closing(plain(path)) as connection:
        connection.execute("UPDATE search2_data SET block = x'00'")
    store = SqliteTranscripts(path)
    await store.append(ONE, list(prompts(301, 301)))
    await store.search(terms_of("pump"), 10)
    assert await store.last_seq(ONE) == 301
    await store.close()
    assert await hits(path) == 301


async def test_a_damaged_log_keeps_no_other_one_from_being_indexed(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    await written(path, 2000, search="none")
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 8192)
    store = SqliteTranscripts(path)
    with suppress(StoreFull):  # if the end of the other log cannot be read, either
        await store.append(ONE, list(prompts(2001, 2001)))
    await store.put(SessionMeta(id=SessionId("three"), epoch="e1", backend="shell", created_at=NOW))
    await store.append(SessionId("three"), list(prompts(1, 3, "valve")))
    for _ in range(10):
        found = await store.search(terms_of("valve"), 10)
    assert len(found.found) == 3
    await store.close()


async def test_words_are_found_whatever_colours_they_had(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    store = SqliteTranscripts(path)
    await store.put(SessionMeta(id=ONE, epoch="e1", backend="shell", created_at=NOW))
    reply = MessageComplete(turn=1, text="\x1b[31mError\x1b[0m: no \x1b[1mpump\x1b[m\n", status="complete")
    tool = ToolComplete(
        turn=1, tool_id="t", status="complete", output="\x1b]8;;http://lamp\x07a \x1b[2Jvalve\x1b]8;;\x07"
    )
    await store.append(ONE, [make_event(1, reply, NOW), make_event(2, tool, NOW)])
    await store.close()
    counts = {query: await hits(path, query) for query in ("error", '"no pump"', "valve", "31merror", "lamp")}
    assert counts == {"error": 1, '"no pump"': 1, "valve": 1, "31merror": 0, "lamp": 0}
    match = (await hits_of(path, "error"))[0]
    assert excerpt(searchable(match.event), terms_of("error")).text == "Error: no pump"


async def test_the_index_of_an_earlier_version_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    await written(path, 30)
    assert await hits(path) == 30
    with closing(plain(path)) as connection:  # as that version has left it
        for statement in (
            "CREATE VIRTUAL TABLE search USING fts5 (text, content = '')",
            "CREATE TABLE search_entry (number INTEGER PRIMARY KEY, session INTEGER NOT NULL, seq INTEGER NOT NULL)",
            "CREATE TABLE search_progress (session INTEGER PRIMARY KEY, seq INTEGER NOT NULL)",
            *(f"DROP TABLE {name}" for name in TABLES),
        ):
            connection.execute(statement)
    assert await hits(path) == 30
    with closing(plain(path)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    assert not names & {"search", "search_data", "search_entry", "search_progress"}
