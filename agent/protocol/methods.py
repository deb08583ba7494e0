"""The table of the wire: one row for each method and each notification, with all that is true of it (DESIGN §2).

Who may call a method, where its request is carried out, what it costs and whether more follows its answer stands in
its row and nowhere else: router, rights, quotas, typed calls, docs/design/wire.md and `agent schema` read it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct

from agent.protocol.addresses import SyncAddresses, TellAddresses, ToldAddresses
from agent.protocol.audit import AuditEntry
from agent.protocol.backends import BackendRow, ListBackends
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
    Interrupted,
    Join,
    Left,
    LimitDevice,
    Limited,
    ListAudit,
    ListSessions,
    Nothing,
    OnSession,
    Page,
    Pair,
    PairedRow,
    PairNews,
    PairWindow,
    ParticipantsChanged,
    PeerLink,
    PeersChanged,
    Ready,
    Rename,
    SessionLost,
    SessionsChanged,
    SessionStalled,
    ShareSession,
    StatusReport,
    Submit,
    Submitted,
    TurnTail,
    TwinSeen,
    Unpair,
    WindowRow,
)
from agent.protocol.model import DeviceRow, Participant, SessionRow
from agent.protocol.page import Keep, Kept, LoggedOut, OpenPage, PageOpened, Render, Rendered
from agent.protocol.prompts import QueuedPrompt, Withdraw, Withdrawn
from agent.protocol.terminal import (
    TerminalAttach,
    TerminalAttached,
    TerminalClosed,
    TerminalDetach,
    TerminalInput,
    TerminalOutput,
    TerminalResize,
    TerminalResized,
    TerminalTaken,
)
from agent.protocol.transcripts import Forget, Forgotten, Found, ListPast, Past, Search
from agent.protocol.waiting import CancelCall, Patient, Waiting

P = TypeVar("P", bound=Struct)
R = TypeVar("R")


class On(StrEnum):
    """What a method is about, and so where a request for it is carried out and who may send one at all."""

    SESSION = "session"  # one session, that `session_id` names: on the device that hosts it
    DEVICE = "device"  # one device: the one that is asked, or the one that `device` names
    LOCAL = "local"  # the device that is asked, by its own clients: over the control socket only
    PAGE = "page"  # the page in a browser: over that door only
    LINK = "link"  # what two gateways keep alike: between linked gateways


class Right(StrEnum):
    """What another device must be allowed to do before it may call a method (`Access.refusal`)."""

    LIST = "list"  # see which devices and sessions there are
    READ = "read"  # see what is in them
    MEMBER = "member"  # exchange what members of a household know: it changes no session
    STEER = "steer"  # make something happen in a session that is there
    OWN = "own"  # make a session, end it, name it, set it up
    TRUST = "trust"  # say who may do what: never another device


LOOKS = frozenset({Right.LIST, Right.READ, Right.MEMBER})
"""Rights to methods that make nothing happen in a session or to who is trusted."""


class Follows(StrEnum):
    """What follows the answer to a method, as notifications over the same WebSocket."""

    ATTACHMENT = "attachment"  # what was missed, then everything as it comes, until the client detaches
    WATCH = "watch"  # every change; a second request for the same method takes the place of the first
    WINDOW = "window"  # news, until the connection ends, which ends the thing itself


Quota = Literal["prompts", "new sessions", "searches"]
"""What another device may do only so often (`trust.access.RATES`)."""


class Method(Generic[P, R]):
    """One method of the wire. `on` and `right` have no default: a row without them is no row."""

    def __init__(
        self,
        name: str,
        params: type[P],
        result: type[R],
        *,
        on: On,
        right: Right,
        guarded: bool | None = None,
        follows: Follows | None = None,
        quota: Quota | None = None,
        large_params: bool = False,
        large_result: bool = False,
        since: str = "0.1.0",
    ) -> None:
        """`guarded`: no program inside a session may call it (T9). Unless it is said, whatever changes anything is.

        `follows`: what comes after the answer. `quota`: of which budget of another device each request takes.
        `large_params`, `large_result`: may fill a frame. `since`: the first version that has it.

        Raises: ValueError, for a row that contradicts itself.
        """
        self.name = name
        self.params = params
        self.result = result
        self.on = on
        self.right = right
        self.guarded = right not in LOOKS if guarded is None else guarded
        self.follows = follows
        self.quota = quota
        self.large_params = large_params
        self.large_result = large_result
        self.since = since
        self._check()

    def __repr__(self) -> str:
        return f"<method {self.name}>"

    def _check(self) -> None:
        fields = self.params.__struct_fields__
        if self.on is On.SESSION and "session_id" not in fields:
            raise ValueError(f"{self.name} is about a session, which its parameters do not name")
        if self.right is Right.TRUST and not (self.on is On.LOCAL and self.guarded):
            raise ValueError(f"{self.name} says who is trusted: it is local and guarded")

    @property
    def changes(self) -> bool:
        """Whether it makes something happen in a session."""
        return self.right in {Right.STEER, Right.OWN}

    @property
    def patient(self) -> bool:
        """Whether a request for it waits while the session's device is out of reach (L8)."""
        return issubclass(self.params, Patient)


PEER_LIST = Method("peer.list", Nothing, Rows[DeviceRow], on=On.LOCAL, right=Right.LIST)
PEER_WATCH = Method("peer.watch", Nothing, Rows[DeviceRow], on=On.LOCAL, right=Right.LIST, follows=Follows.WATCH)

SESSION_LIST = Method("session.list", ListSessions, Rows[SessionRow], on=On.DEVICE, right=Right.LIST)
SESSION_WATCH = Method(
    "session.watch", ListSessions, Rows[SessionRow], on=On.DEVICE, right=Right.LIST, follows=Follows.WATCH
)
SESSION_CREATE = Method(
    "session.create", CreateSession, Created, on=On.DEVICE, right=Right.OWN, guarded=False, quota="new sessions"
)
SESSION_ATTACH = Method(
    "session.attach",
    Attach,
    Attached,
    on=On.SESSION,
    right=Right.READ,
    follows=Follows.ATTACHMENT,
    large_result=True,
)
SESSION_DETACH = Method("session.detach", Detach, Nothing, on=On.SESSION, right=Right.READ)
SESSION_HISTORY = Method("session.history", History, Page, on=On.SESSION, right=Right.READ, large_result=True)
SESSION_PARTICIPANTS = Method("session.participants", OnSession, Rows[Participant], on=On.SESSION, right=Right.READ)
SESSION_INTERRUPT = Method("session.interrupt", Interrupt, Interrupted, on=On.SESSION, right=Right.STEER, guarded=False)
SESSION_CLOSE = Method("session.close", OnSession, Nothing, on=On.SESSION, right=Right.OWN, guarded=False)
SESSION_RESTART = Method(
    "session.restart", OnSession, Created, on=On.SESSION, right=Right.OWN, guarded=False, quota="new sessions"
)
SESSION_RENAME = Method("session.rename", Rename, Nothing, on=On.SESSION, right=Right.OWN, guarded=False)
SESSION_CONFIGURE = Method("session.configure", Configure, Nothing, on=On.SESSION, right=Right.OWN, guarded=True)
SESSION_PAST = Method("session.past", ListPast, Past, on=On.DEVICE, right=Right.LIST, large_result=True)
SESSION_SEARCH = Method(
    "session.search", Search, Found, on=On.DEVICE, right=Right.READ, quota="searches", large_result=True
)
SESSION_FORGET = Method("session.forget", Forget, Forgotten, on=On.LOCAL, right=Right.TRUST)
SESSION_SHARE = Method("session.share", ShareSession, Nothing, on=On.LOCAL, right=Right.TRUST)

PROMPT_SUBMIT = Method(
    "prompt.submit", Submit, Submitted, on=On.SESSION, right=Right.STEER, guarded=False, quota="prompts"
)
PROMPT_LIST = Method("prompt.list", OnSession, Rows[QueuedPrompt], on=On.SESSION, right=Right.READ)
PROMPT_WITHDRAW = Method("prompt.withdraw", Withdraw, Withdrawn, on=On.SESSION, right=Right.STEER)
REQUEST_ANSWER = Method("request.answer", AnswerRequest, Answered, on=On.SESSION, right=Right.STEER, guarded=True)

TERMINAL_ATTACH = Method(
    "terminal.attach",
    TerminalAttach,
    TerminalAttached,
    on=On.SESSION,
    right=Right.READ,
    follows=Follows.ATTACHMENT,
    large_result=True,
)
TERMINAL_INPUT = Method("terminal.input", TerminalInput, Nothing, on=On.SESSION, right=Right.STEER, guarded=False)
TERMINAL_RESIZE = Method("terminal.resize", TerminalResize, Nothing, on=On.SESSION, right=Right.STEER, guarded=False)
TERMINAL_DETACH = Method("terminal.detach", TerminalDetach, Nothing, on=On.SESSION, right=Right.READ)

BACKEND_LIST = Method("backend.list", ListBackends, Rows[BackendRow], on=On.DEVICE, right=Right.MEMBER)

DEVICE_LIST = Method("device.list", Nothing, Rows[PairedRow], on=On.LOCAL, right=Right.LIST)
DEVICE_WINDOWS = Method("device.windows", FindWindows, Rows[WindowRow], on=On.LOCAL, right=Right.LIST)
DEVICE_PAIR = Method("device.pair", Pair, PairWindow, on=On.LOCAL, right=Right.TRUST, follows=Follows.WINDOW)
DEVICE_CLOSE_WINDOW = Method("device.close_window", Nothing, Nothing, on=On.LOCAL, right=Right.TRUST)
DEVICE_JOIN = Method("device.join", Join, PairedRow, on=On.LOCAL, right=Right.TRUST)
DEVICE_UNPAIR = Method("device.unpair", Unpair, PairedRow, on=On.LOCAL, right=Right.TRUST)
DEVICE_LEAVE = Method("device.leave", Nothing, Left, on=On.LOCAL, right=Right.TRUST)
DEVICE_LIMIT = Method("device.limit", LimitDevice, Limited, on=On.LOCAL, right=Right.TRUST)

AUDIT_LIST = Method("audit.list", ListAudit, Rows[AuditEntry], on=On.LOCAL, right=Right.READ)
AUDIT_WATCH = Method("audit.watch", ListAudit, Rows[AuditEntry], on=On.LOCAL, right=Right.READ, follows=Follows.WATCH)
GATEWAY_STATUS = Method("gateway.status", Nothing, StatusReport, on=On.LOCAL, right=Right.READ)

PAGE_OPEN = Method("page.open", OpenPage, PageOpened, on=On.LOCAL, right=Right.TRUST)
PAGE_LOGOUT = Method("page.logout", Nothing, LoggedOut, on=On.LOCAL, right=Right.TRUST)
PAGE_RENDER = Method("page.render", Render, Rendered, on=On.PAGE, right=Right.READ, large_result=True)
PAGE_KEEP = Method("page.keep", Keep, Kept, on=On.PAGE, right=Right.READ)

HOUSEHOLD_SYNC = Method(
    "household.sync", HouseholdSync, HouseholdNews, on=On.LINK, right=Right.MEMBER, large_result=True
)
HOUSEHOLD_TELL = Method("household.tell", HouseholdNews, Nothing, on=On.LINK, right=Right.MEMBER, large_params=True)
ADDRESS_SYNC = Method("address.sync", SyncAddresses, ToldAddresses, on=On.LINK, right=Right.MEMBER)
ADDRESS_TELL = Method("address.tell", TellAddresses, Nothing, on=On.LINK, right=Right.MEMBER)


class By(StrEnum):
    """Who sends a notification."""

    GATEWAY = "gateway"  # to clients; of its own sessions to linked gateways, too
    CLIENT = "client"  # whoever asked or watches: a client, or a gateway for its clients
    LINK = "link"  # a gateway to a linked one, and to nobody else


class NotificationKind(Generic[P]):
    """One notification of the wire."""

    def __init__(self, name: str, params: type[P], *, by: By, large: bool = False, since: str = "0.1.0") -> None:
        """`large`: may fill a frame. `since`: the first version that has it."""
        self.name = name
        self.params = params
        self.by = by
        self.large = large
        self.since = since

    def __repr__(self) -> str:
        return f"<notification {self.name}>"


GATEWAY_READY = NotificationKind("gateway.ready", Ready, by=By.GATEWAY)
GATEWAY_TWIN = NotificationKind("gateway.twin", TwinSeen, by=By.LINK)
EVENT = NotificationKind("event", EventOf, by=By.GATEWAY, large=True)
TURN_TAIL = NotificationKind("turn.tail", TurnTail, by=By.GATEWAY)
PEER_CHANGED = NotificationKind("peer.changed", PeersChanged, by=By.GATEWAY)
SESSION_CHANGED = NotificationKind("session.changed", SessionsChanged, by=By.GATEWAY, large=True)
PARTICIPANTS_CHANGED = NotificationKind("session.participants", ParticipantsChanged, by=By.GATEWAY)
SESSION_STALLED = NotificationKind("session.stalled", SessionStalled, by=By.GATEWAY)
SESSION_LOST = NotificationKind("session.lost", SessionLost, by=By.GATEWAY)
PEER_LOST = NotificationKind("peer.lost", PeerLink, by=By.GATEWAY)
PEER_BACK = NotificationKind("peer.back", PeerLink, by=By.GATEWAY)
TERMINAL_OUTPUT = NotificationKind("terminal.output", TerminalOutput, by=By.GATEWAY)
TERMINAL_RESIZED = NotificationKind("terminal.resized", TerminalResized, by=By.GATEWAY)
TERMINAL_CLOSED = NotificationKind("terminal.closed", TerminalClosed, by=By.GATEWAY)
TERMINAL_TAKEN = NotificationKind("terminal.taken", TerminalTaken, by=By.CLIENT)
REQUEST_WAITING = NotificationKind("request.waiting", Waiting, by=By.GATEWAY)
REQUEST_CANCEL = NotificationKind("request.cancel", CancelCall, by=By.CLIENT)
DEVICE_PAIRING = NotificationKind("device.pairing", PairNews, by=By.GATEWAY)
AUDIT_NOTED = NotificationKind("audit.noted", AuditNoted, by=By.GATEWAY)

_rows = list(globals().values())  # of this very module: what is written above is in the tables, there is no second list
METHODS: Mapping[str, Method[Any, Any]] = {row.name: row for row in _rows if isinstance(row, Method)}
NOTIFICATIONS: Mapping[str, NotificationKind[Any]] = {
    row.name: row for row in _rows if isinstance(row, NotificationKind)
}
LARGE = frozenset(row.name for row in METHODS.values() if row.large_params) | frozenset(
    row.name for row in NOTIFICATIONS.values() if row.large
)
"""Names of what may fill a frame (1 MiB) though it is no answer: streams that were asked for, a whole household."""
