"""When to dial, which of two links stays, how long to wait: the pure rules of links (L2, L4, L5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from agent.core.records import DeviceId, Endpoint

AT_ONCE = 5.0
"""Seconds within which two links between the same devices count as opened at once."""
STAGGER_NEAR, STAGGER_FAR = 0.05, 0.25
"""Seconds between the starts of two attempts to connect: on a network of ours, and elsewhere."""


def reconnect_delay(attempt: int, jitter: float) -> float:
    """Seconds to wait before connection attempt `attempt`, the first being 0.

    Doubles from 0.25 s up to 30 s, times `jitter` (0.5 to 1.0), so that devices cut off together do not return
    together. Raises: ValueError, if `attempt` is negative.
    """
    if attempt < 0:
        raise ValueError("attempt counts from 0")
    return min(30.0, 0.25 * 2.0 ** min(attempt, 7)) * jitter


def new_link_stays(*, own: DeviceId, peer: DeviceId, old_is_ours: bool, new_is_ours: bool, apart: float) -> bool:
    """Whether the newer of two links to one peer stays (L2). `is_ours`: dialled by this device; `apart` in seconds.

    Both ends decide alike: of two dialled by different sides at once, the one dialled by the smaller id stays; else
    the newer one, since whoever dials again has lost the older.
    """
    if old_is_ours is new_is_ours or apart > AT_ONCE:
        return True
    return new_is_ours is (own < peer)


def dial_schedule(endpoints: Sequence[Endpoint], on_link: Callable[[str], bool]) -> list[tuple[float, Endpoint]]:
    """When to try each endpoint, in seconds from the start: the first at once, then those on our own networks.

    One on a network of ours (`on_link`) answers in about 1 ms, so it waits 50 ms for those before it; any other one
    waits 250 ms (RFC 8305 §5).
    """
    near = [endpoint for endpoint in endpoints[1:] if on_link(endpoint.host)]
    far = [endpoint for endpoint in endpoints[1:] if not on_link(endpoint.host)]
    schedule: list[tuple[float, Endpoint]] = []
    at = 0.0
    for endpoint in [*endpoints[:1], *near, *far]:
        if schedule:
            at += STAGGER_NEAR if on_link(endpoint.host) else STAGGER_FAR
        schedule.append((at, endpoint))
    return schedule


class LinkUse(Struct, frozen=True):
    """What decides whether a link may be closed."""

    device: DeviceId
    used_at: float  # monotonic seconds of the last request, event or attachment
    protected: bool  # a client is attached, or a session it attached is working or needs input


def to_close(links: list[LinkUse], *, limit: int, on_demand: bool, idle: float, now: float) -> list[DeviceId]:
    """Links to close (L4): beyond `limit` the least recently used, and when on demand those idle for `idle` seconds."""
    free = sorted((use for use in links if not use.protected), key=lambda use: use.used_at)
    closing = [use.device for use in free if on_demand and now - use.used_at >= idle]
    excess = len(links) - len(closing) - limit
    return closing + [use.device for use in free if use.device not in closing][: max(0, excess)]
