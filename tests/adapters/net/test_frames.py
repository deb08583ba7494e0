"""adapters.net.frames: what a gateway sends passes, however it is cut up; what nobody needs ends the connection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.net.frames import CONTROL, FrameWatch

HEAD = b"GET /v1/ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"
TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
EMPTY_FRAGMENT = bytes([0x00, 0x80, 1, 2, 3, 4])


def frame(first: int, size: int, *, masked: bool = False, filler: bytes = b"\x00") -> bytes:
    """One frame; the filler is such that whoever loses count takes it for fragments."""
    mask = 0x80 if masked else 0
    if size < 126:
        header = bytes([first, mask | size])
    elif size < 65536:
        header = bytes([first, mask | 126]) + size.to_bytes(2, "big")
    else:
        header = bytes([first, mask | 127]) + size.to_bytes(8, "big")
    return header + (b"abcd" if masked else b"") + filler * size


def verdict(data: bytes, *cuts: int) -> str:
    """What a watch says of bytes that arrive in these pieces."""
    watch, reasons, last = FrameWatch(0.0), [], 0
    for cut in [*sorted(cuts), len(data)]:
        reasons.append(watch.feed(data[last:cut], 0.0))
        last = cut
    return next(filter(None, reasons), "")


@given(
    sizes=st.lists(st.sampled_from([0, 1, 125, 126, 127, 65535, 65536, 70_000]), max_size=5),
    masked=st.booleans(),
    cuts=st.lists(st.integers(0, 500), max_size=20),
)
def test_frames_of_any_size_pass_however_they_are_cut_up(sizes: list[int], masked: bool, cuts: list[int]) -> None:
    frames = b"".join(frame(BINARY, size, masked=masked) for size in sizes) + frame(PING, 5) + frame(TEXT, 2)
    assert verdict(HEAD + frames, *cuts) == ""
    assert verdict(HEAD + frames + EMPTY_FRAGMENT, *cuts) == "a message in fragments"


@pytest.mark.parametrize("first", [0x00, 0x01, 0x02, 0x80])
def test_a_fragment_of_any_kind_ends_the_connection(first: int) -> None:
    assert verdict(HEAD + frame(BINARY, 9) + frame(first, 9)) == "a message in fragments"


@pytest.mark.parametrize("first", [CLOSE, PING, PONG])
def test_control_frames_have_a_rate(first: int) -> None:
    watch = FrameWatch(0.0)
    assert watch.feed(HEAD + frame(first, 0) * CONTROL.burst, 0.0) == ""
    pause = 60.0 / CONTROL.per_minute
    for number in range(1, 100):
        assert watch.feed(frame(first, 3, masked=True), number * pause) == ""
    assert watch.feed(frame(first, 0), 99 * pause) == "more control frames than a link needs"


def test_a_second_request_on_a_connection_is_no_frame() -> None:
    assert verdict(HEAD + b"GET /v1/ws HTTP/1.1\r\n\r\n") == "a message in fragments"
    assert verdict(b"\r\n\r\n" + HEAD) == "a message in fragments"  # else the frames would be looked for too late


def test_what_is_said_before_the_upgrade_is_not_looked_at() -> None:
    assert verdict(b"\x00" * 5000) == ""
