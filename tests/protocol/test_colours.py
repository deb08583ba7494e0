"""protocol.colours: what programs print without its colours, and cut where none is parted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.colours import RESET, SGR, plain, reset_of, whole_after, whole_before
from agent.protocol.events import (
    MessageComplete,
    MessageDelta,
    Payload,
    ToolUpdate,
    make_event,
    payload_of,
    plain_event,
)

RED = "\x1b[31m"
PAINTED = st.lists(st.sampled_from([RED, RESET, "\x1b[38:2::1:2:3m", "\x1b[m", "a", "日", "\n", "[31m"])).map("".join)


def test_colours_are_taken_out_and_nothing_else() -> None:
    assert plain(f"{RED}a\tb{RESET}\n\x1b[38;5;1m日\x1b[m \x1b[2K") == "a\tb\n日 \x1b[2K"


@pytest.mark.parametrize(
    "payload", [MessageDelta(turn=1, text=f"{RED}a{RESET}"), MessageComplete(turn=1, text=f"{RED}a", status="complete")]
)
def test_a_reply_has_no_colours_for_who_did_not_ask_for_them(payload: MessageDelta | MessageComplete) -> None:
    event = plain_event(make_event(7, payload, 0.0))
    bare = payload_of(event)
    assert isinstance(bare, MessageDelta | MessageComplete)
    assert (event.seq, bare.text) == (7, "a")


@pytest.mark.parametrize(
    "payload", [MessageDelta(turn=1, text="no colours"), ToolUpdate(turn=1, tool_id="t", text=f"{RED}as it came")]
)
def test_what_has_none_or_is_no_reply_is_the_very_same(payload: Payload) -> None:
    event = make_event(7, payload, 0.0)
    assert plain_event(event) is event


@given(PAINTED, st.integers(0, 40))
def test_a_cut_parts_no_colour(text: str, place: int) -> None:
    place = min(place, len(text))
    before, after = whole_before(text, place), whole_after(text, place)
    assert before <= place <= after
    for cut in (before, after):
        assert plain(text[:cut]) + plain(text[cut:]) == plain(text)
    if not any(found.start() < place < found.end() for found in SGR.finditer(text)):
        assert after == place


def test_a_colour_in_which_a_text_leaves_off_is_ended() -> None:
    assert reset_of(f"a{RED}b") == RESET
    assert reset_of(f"{RED}b{RESET}c") == reset_of(f"{RED}b\x1b[m") == reset_of("b") == ""
