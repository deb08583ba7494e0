"""A guest: a device that is let in on one device alone, for a while, and to do less than a member may."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, structs

from agent.protocol.model import PairedDevice, SessionId

STAY = 8 * 3600.0
"""Seconds that a guest may stay by default."""
STAY_MAX = 366 * 86_400.0


class Terms(Struct, frozen=True, kw_only=True):
    """The terms on which a host lets a guest in: what, and for how long. The host decides by them."""

    seconds: Annotated[float, Meta(gt=0, le=STAY_MAX)] = STAY  # from the pairing on: no two clocks agree
    read_only: bool = False
    session: Annotated[str, Meta(max_length=64)] = ""  # id of the only one that it may reach; empty: any


def limited(device: PairedDevice, terms: Terms, role: Literal["guest", "host"], now: float) -> PairedDevice:
    """The entry of a guest at its host, or of the host at its guest, on those terms. `now` in Unix seconds."""
    return structs.replace(
        device,
        role=role,
        read_only=terms.read_only,
        session=SessionId(terms.session),
        expires_at=now + terms.seconds,
    )
