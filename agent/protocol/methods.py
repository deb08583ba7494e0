"""The decoder table: both encodings and both directions use it (DESIGN §3)."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from agent.protocol.addresses import ADDRESS_METHODS
from agent.protocol.backends import BACKEND_METHODS, BackendRow
from agent.protocol.bounds import Rows
from agent.protocol.messages import (
    Answered,
    AnswerRequest,
    Attach,
    Attached,
    AuditNoted,
    Configure,
    Created,
    CreateSession,
    Detach,
    EventOf,
    FindWindows,
    History,
    HouseholdNews,
    HouseholdSync,
    Interrupt,
    Join,
    LimitDevice,
    ListAudit,
    ListSessions,
    Nothing,
    OnSession,
    Page,
    Pair,
    PairNews,
    ParticipantsChanged,
    PeerLink,
    PeersChanged,
    Ready,
    Rename,
    SessionLost,
    SessionsChanged,
    SessionStalled,
    ShareSession,
    Submit,
    Submitted,
    TwinSeen,
    Unpair,
)
from agent.protocol.model import Participant
from agent.protocol.terminal import TERMINAL_METHODS, TERMINAL_NOTIFICATIONS, TerminalAttached
from agent.protocol.waiting import CancelCall, Waiting

METHODS: dict[str, type[Struct]] = {
    "peer.list": Nothing,
    "peer.watch": Nothing,
    "session.list": ListSessions,
    "session.watch": ListSessions,
    "session.create": CreateSession,
    "session.attach": Attach,
    "session.detach": Detach,
    "session.close": OnSession,
    "session.rename": Rename,
    "session.configure": Configure,
    "session.share": ShareSession,
    "session.interrupt": Interrupt,
    "session.history": History,
    "session.participants": OnSession,
    "prompt.submit": Submit,
    "request.answer": AnswerRequest,
    "device.pair": Pair,
    "device.join": Join,
    "device.windows": FindWindows,
    "device.unpair": Unpair,
    "device.list": Nothing,
    "device.limit": LimitDevice,
    "audit.list": ListAudit,
    "audit.watch": ListAudit,
    "device.leave": Nothing,
    "household.sync": HouseholdSync,
    "household.tell": HouseholdNews,
    "gateway.status": Nothing,
    **TERMINAL_METHODS,
    **BACKEND_METHODS,
    **ADDRESS_METHODS,
}

RESULTS: dict[str, Any] = {
    "session.create": Created,
    "session.attach": Attached,
    "session.close": Nothing,
    "session.rename": Nothing,
    "session.configure": Nothing,
    "session.interrupt": Nothing,
    "session.history": Page,
    "session.participants": Rows[Participant],
    "prompt.submit": Submitted,
    "request.answer": Answered,
    "terminal.attach": TerminalAttached,
    "backend.list": Rows[BackendRow],
}
"""What another device may answer to what a client asks of it: of these types is whatever is passed on (L7, T11)."""

LOCAL_ONLY = frozenset({"session.share"}) | {
    method for method in METHODS if method.partition(".")[0] in {"device", "peer", "gateway", "audit"}
}
"""Methods of the control socket alone; everything else also over a link, for the sessions of this device (L7)."""

NOTIFICATIONS: dict[str, type[Struct]] = {
    "gateway.ready": Ready,
    "gateway.twin": TwinSeen,
    "event": EventOf,
    "peer.changed": PeersChanged,
    "session.changed": SessionsChanged,
    "session.participants": ParticipantsChanged,
    "session.lost": SessionLost,
    "session.stalled": SessionStalled,
    "peer.lost": PeerLink,
    "peer.back": PeerLink,
    "request.waiting": Waiting,
    "request.cancel": CancelCall,
    "device.pairing": PairNews,
    "audit.noted": AuditNoted,
    **TERMINAL_NOTIFICATIONS,
}
