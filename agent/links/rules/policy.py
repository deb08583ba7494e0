"""Which of two links to one device stays, and which links are closed (L2, L4)."""

from __future__ import annotations

from msgspec import Struct

from agent.protocol.model import DeviceId

AT_ONCE = 5.0
"""Seconds within which two links between the same devices count as opened at once."""


def new_link_stays(*, own: DeviceId, peer: DeviceId, old_is_ours: bool, new_is_ours: bool, apart: float) -> bool:
    """Whether the newer of two links to one peer stays (L2). `is_ours`: dialled by this device; `apart` in seconds.

    Both ends decide alike: of two links dialled by different sides at once, the one dialled by the smaller id stays;
    else the newer one, since whoever dials again has lost the older.
    """
    if old_is_ours is new_is_ours or apart > AT_ONCE:
        return True
    return new_is_ours is (own < peer)


class LinkUse(Struct, frozen=True):
    """The use of one link, which decides whether it may be closed."""

    device: DeviceId
    used_at: float  # monotonic seconds of the last request, event or attachment
    protected: bool  # a client is attached, or a session it attached is working or needs input


def to_close(links: list[LinkUse], *, limit: int, on_demand: bool, idle: float, now: float) -> list[DeviceId]:
    """Devices whose links to close (L4): the least used beyond `limit`; on demand those unused for `idle` seconds."""
    free = sorted((use for use in links if not use.protected), key=lambda use: use.used_at)
    closing = [use.device for use in free if on_demand and now - use.used_at >= idle]
    excess = len(links) - len(closing) - limit
    return closing + [use.device for use in free if use.device not in closing][: max(0, excess)]
