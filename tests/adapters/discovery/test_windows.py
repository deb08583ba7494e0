"""What a stranger announces as a pairing window: read, cleaned, or left alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.discovery.instances import InstanceRecords, join_text
from agent.adapters.discovery.mdns.windows import window_of
from agent.protocol.model import NAME_MAX


def resolved(text: bytes, port: int = 4242) -> InstanceRecords:
    return InstanceRecords(text=text, server="x.local.", port=port, addresses=("10.0.0.1",))


def test_a_window_is_read() -> None:
    window = window_of(resolved(join_text([b"v=1", b"slot=42", b"name=desk"])), ["10.0.0.1"])
    assert window is not None
    assert (window.slot, window.name, window.endpoints[0].port) == ("42", "desk", 4242)


@given(
    st.binary(max_size=400) | st.lists(st.binary(max_size=60), max_size=8).map(lambda some: join_text([b"v=1", *some]))
)
def test_no_bytes_raise_and_names_are_clean(text: bytes) -> None:
    window = window_of(resolved(text), ["10.0.0.1"])
    if window is not None:
        assert len(window.slot) <= 2
        assert len(window.name) <= NAME_MAX
        assert (window.slot + window.name).isprintable()


def test_a_window_that_is_over_says_how_it_ended() -> None:
    text = join_text([b"v=1", b"slot=42", b"name=desk", b"over=paired"])
    window = window_of(resolved(text), ["10.0.0.1"])
    assert window is not None
    assert window.over == "paired"
    hostile = window_of(resolved(join_text([b"v=1", b"slot=42", b"over=\x1b[2J" + b"x" * 90])), ["10.0.0.1"])
    assert hostile is not None
    assert hostile.over == "[2J" + "x" * 13
