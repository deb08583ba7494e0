"""What a device may do here: decided anew for every request, from what is stored here (FACTS-SECURITY §2).

Nothing that a device says of itself has a part in it. A session that a device may not see does not exist for it.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from agent.errors import AgentError, Forbidden, NotPaired, ReadOnly
from agent.protocol.methods import LOOKS, Right
from agent.protocol.model import PairedDevice, SessionId, Share

GUESTS = frozenset({Right.LIST, Right.READ, Right.STEER})
"""What a guest may do: use what is there. It makes, ends and names nothing, and is in no household."""


class Access(Struct, frozen=True, kw_only=True):
    """The rights of one device here; role `self` is this device, which may do everything."""

    role: Literal["self", "member", "guest", "host"]
    read_only: bool = False
    only_session: SessionId = SessionId("")  # empty: not limited to one
    expires_at: float = 0.0  # Unix seconds; 0.0: never

    def expired(self, now: float) -> bool:
        """Whether the rights have ended; `now` in Unix seconds."""
        return 0.0 < self.expires_at <= now

    def sees(self, session: SessionId, share: Share) -> bool:
        """Whether a session, shared like that, exists for the device at all."""
        if self.role == "self":
            return True
        return self.role != "host" and share != "private" and self.only_session in ("", session)

    def share_for_device(self, share: Share) -> Share:
        """How a session that the device sees is shared with this very device."""
        return "read-only" if self.read_only else share

    def refusal(self, right: Right, share: Share, now: float) -> AgentError | None:
        """Why the device may not do what needs `right` on a session that it sees, shared like that; None: it may.

        `share` is `all` for methods that name no session. `now`: Unix seconds.
        """
        error: AgentError | None = None
        if self.role == "self":
            return error
        if self.expired(now):
            error = NotPaired("the time as a guest is over", hint="ask for another `agent pair --guest` over there")
        elif right is Right.TRUST:
            error = Forbidden("only the device itself says whom it trusts", hint="run the command on that device")
        elif self.role == "host" and right is not Right.LIST:
            reason = "this device is a guest of that one, which gets nothing in return"
            error = Forbidden(reason, hint="pair the two as members instead: `agent pair`")
        elif self.read_only and right not in LOOKS:
            error = ReadOnly(
                "this device may only watch there", hint="its owner may allow more there: `agent devices --full DEVICE`"
            )
        elif share == "read-only" and right not in LOOKS:
            hint = "its owner may allow more there: `agent share SESSION all`"
            error = ReadOnly("that session may only be watched", hint=hint)
        elif self.role == "guest" and right not in GUESTS:
            error = Forbidden("a guest may not do that", hint="ask on that device, or be paired as a member")
        return error


SELF = Access(role="self")


def access_of(device: PairedDevice) -> Access:
    """The rights that follow from the stored entry of a device."""
    return Access(
        role=device.role, read_only=device.read_only, only_session=device.session, expires_at=device.expires_at
    )
