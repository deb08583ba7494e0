"""protocol.terminal, terminal_modes, terminal_queries, and a backend's ring: a terminal's bytes, what they switch
on."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from agent.adapters.backends.terminal.screen import Ring
from agent.errors import BadParams, TooLarge
from agent.protocol.codec import FRAME_OUT_MAX, json, msgpack
from agent.protocol.model import SessionId
from agent.protocol.terminal import CHUNK, RING, TerminalAttached, TerminalInput, typed_bytes
from agent.protocol.terminal_modes import Modes
from agent.protocol.terminal_queries import has_enter, without_queries, without_replies

# --- the ring ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=20), max_size=40), st.integers(min_value=1, max_value=50), st.data())
def test_a_ring_keeps_the_newest_bytes_and_knows_their_numbers(
    pieces: list[bytes], room: int, data: st.DataObject
) -> None:
    ring, everything, dropped = Ring(room), b"", b""
    for piece in pieces:
        dropped += ring.append(piece)
        everything += piece
        assert ring.end == len(everything)
        assert ring.begin == max(0, len(everything) - room) == len(dropped)
    assert everything.startswith(dropped)
    offset = data.draw(st.integers(min_value=ring.begin, max_value=ring.end))
    size = data.draw(st.integers(min_value=0, max_value=60))
    assert ring.read(offset, size) == everything[offset : offset + size]
    for outside in (ring.begin - 1, ring.end + 1):
        with pytest.raises(LookupError):
            ring.read(outside, 1)


def test_a_whole_replay_fits_into_one_frame_in_both_encodings() -> None:
    attached = TerminalAttached(
        session_id=SessionId("a" * 16),
        epoch="e" * 16,
        offset=2**53,
        data=b"\xff" * RING,
        rows=24,
        cols=80,
        modes=b"\x1b" * 500,
    )
    assert len(msgpack.response(1, attached)) < FRAME_OUT_MAX
    assert len(json.response(1, attached)) < FRAME_OUT_MAX


# --- modes ------------------------------------------------------------------------------------------------------------


def after(output: bytes) -> Modes:
    modes = Modes()
    modes.feed(output)
    return modes


VIM = b"\x1b[?1049h\x1b[22;0;0t\x1b[>4;2m\x1b[?1h\x1b=\x1b[?2004h\x1b[?1004h\x1b[1;24r\x1b[?12h\x1b[?25l\x1b[2 qtext"


def test_what_vim_switches_on_is_restored_and_undone() -> None:
    modes = after(VIM)
    assert modes.alternate
    assert modes.pastes
    assert modes.restore() == b"\x1b[?1049h\x1b[?1h\x1b[?2004h\x1b[?1004h\x1b[?25l\x1b[>4;2m\x1b=\x1b[2 q"
    undone = modes.undo()
    assert undone.endswith(b"\x1b[?1l\x1b[?2004l\x1b[?1004l\x1b[?25h\x1b[?1049l")  # the alternate screen last
    for each in (b"\x1b[>4m", b"\x1b>", b"\x1b[0 q", b"\x1b[m", b"\x1b[r"):
        assert each in undone


@pytest.mark.parametrize(
    "quit_",
    [
        b"\x1b[?1049l\x1b[>4;m\x1b[?1l\x1b>\x1b[?2004l\x1b[?1004l\x1b[?25h\x1b[0 q",
        b"\x1b[?1;25;2004;1004h\x1b[?1;1004;1049;2004l\x1b[>4m\x1b>\x1b[ q",
        b"\x1bc",
    ],
)
def test_what_a_program_switches_off_itself_is_not_undone_again(quit_: bytes) -> None:
    modes = after(VIM + quit_)
    assert modes.restore() == b""
    assert modes.undo() == Modes().undo()
    assert not modes.alternate


def test_the_stack_of_the_kitty_protocol_is_followed() -> None:
    modes = after(b"\x1b[>1u\x1b[>5u\x1b[<u\x1b[>31u")
    assert modes.restore() == b"\x1b[>1u\x1b[>31u"
    assert b"\x1b[<2u" in modes.undo()
    modes.feed(b"\x1b[<9u")
    assert modes.restore() == b""


@given(
    st.lists(st.sampled_from([VIM, b"\x1b[?1000h", b"\x1b[?1049l", b"abc\x1b[31m", b"\x1b[>1u", b"\x1b"])), st.data()
)
def test_it_does_not_matter_how_output_is_cut(pieces: list[bytes], data: st.DataObject) -> None:
    output = b"".join(pieces)
    modes, rest = Modes(), output
    while rest:
        size = data.draw(st.integers(min_value=1, max_value=12))
        modes.feed(rest[:size])
        rest = rest[size:]
    assert modes.restore() == after(output).restore()


@given(st.lists(st.sampled_from([VIM, b"\x1b[?1000h", b"\x1b[?1049l", b"\x1b[>1u", b"\x1b[?7l", b"\x1b[6 q"])))
def test_a_terminal_is_fresh_after_undo_and_the_same_after_restore(pieces: list[bytes]) -> None:
    modes = after(b"".join(pieces))
    assert after(modes.restore()).restore() == modes.restore()
    assert after(modes.restore() + modes.undo()).restore() == b""


@given(st.binary())
def test_any_output_is_taken(output: bytes) -> None:
    after(output).undo()


# --- questions and answers --------------------------------------------------------------------------------------------

QUERIES = [b"\x1b[6n", b"\x1b[?6n", b"\x1b[5n", b"\x1b[c", b"\x1b[0c", b"\x1b[>c", b"\x1b[=c", b"\x1b]11;?\x07",
           b"\x1b]4;1;?\x1b\\", b"\x1b[?u", b"\x1b[>q", b"\x1b[?2026$p", b"\x1b[14t", b"\x1bP+q544e\x1b\\"]  # fmt: skip
REPLIES = [b"\x1b[12;40R", b"\x1b[?1;1R", b"\x1b[0n", b"\x1b[?62;22c", b"\x1b[>1;10;0c", b"\x1b[?1u",
           b"\x1b]11;rgb:ffff/ffff/ffff\x1b\\", b"\x1bP>|XTerm(370)\x1b\\", b"\x1b[?2026;2$y",
           b"\x1b[4;600;800t"]  # fmt: skip
KEYS = [b"a", b"\x1b", b"\x1b[A", b"\x1bOP", b"\x1b[15~", b"\x1b[1;5C", b"\x1b[<0;10;10M", b"\x1b[200~x\x1b[201~",
        b"\x1b[93;5u", b"\x03", "ž".encode()]  # fmt: skip
DRAWN = [b"\x1b[31m", b"\x1b[10;1H", b"\x1b[2J", b"\x1b]0;title\x07", b"text", b"\x1b[?1049h", b"\x1b[22;0t"]


@given(st.lists(st.sampled_from(KEYS)))
def test_keys_are_no_replies(keys: list[bytes]) -> None:
    assert without_replies(b"".join(keys)) == b"".join(keys)


@pytest.mark.parametrize("reply", REPLIES)
def test_what_a_terminal_answers_is_told_from_keys(reply: bytes) -> None:
    assert without_replies(b"a" + reply + b"b") == b"ab"


@pytest.mark.parametrize("query", QUERIES)
def test_what_asks_a_terminal_is_left_out(query: bytes) -> None:
    assert without_queries(b"a" + query + b"b") == b"ab"


@given(st.lists(st.sampled_from(DRAWN)))
def test_what_is_drawn_is_no_question(drawn: list[bytes]) -> None:
    assert without_queries(b"".join(drawn)) == b"".join(drawn)


# --- what is typed ----------------------------------------------------------------------------------------------------


def typing(data: object) -> bytes:
    return typed_bytes(TerminalInput(session_id="abcd", data=Raw(msgspec.msgpack.encode(data))))


def test_bytes_and_base64_are_typed() -> None:
    assert typing(b"\x00\xff") == typing("AP8=") == b"\x00\xff"
    assert typing(b"x" * CHUNK) == b"x" * CHUNK


@pytest.mark.parametrize("data", ["no base64!", 5, None, [1], {"a": 1}])
def test_nothing_else_is(data: object) -> None:
    with pytest.raises(BadParams):
        typing(data)


def test_more_than_a_chunk_is_too_large() -> None:
    with pytest.raises(TooLarge):
        typing(b"x" * (CHUNK + 1))


@given(st.binary(max_size=64))
def test_garbage_is_refused_or_taken(data: bytes) -> None:
    try:
        typed_bytes(TerminalInput(session_id="abcd", data=Raw(data)))
    except (BadParams, TooLarge):
        return


# --- what a person types ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    [b"ls\r", b"\n", b"\x0f", b"\x1bOM", b"\x1b[13u", b"\x1b[13;5:1u", b"\x1b[27;5;13~", b"\x1b[200~a\r\x1b[201~\r"],
)
def test_enter_is_heard_however_a_terminal_sends_it(typed: bytes) -> None:  # S7
    assert has_enter(typed)


@pytest.mark.parametrize(
    "typed", [b"ls", b"\x1b[A", b"\x1b[200~a\rb\x1b[201~", b"\x1b[200~a\r", b"a\rb\x1b[201~c", b"\x1b[3~"]
)
def test_a_line_end_that_is_pasted_runs_nothing_and_is_no_enter(typed: bytes) -> None:  # S7
    assert not has_enter(typed)
