"""The methods and notifications of the wire, one struct each (DESIGN §3).

Unknown fields are ignored, new ones have defaults. `protocol.methods` has the table of them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

from agent.protocol.audit import AuditEntry
from agent.protocol.bounds import NUMBER_MAX, Amount, Count, Line, PortOrZero, Rows, Stamp, Whole, Word
from agent.protocol.events import Answer, Commands, Event, Id, Options, RequestOpen, Text
from agent.protocol.guests import STAY, STAY_MAX
from agent.protocol.household import Digest, KeyEpoch, Signed
from agent.protocol.model import (
    DeviceId,
    DeviceKey,
    DeviceRef,
    DeviceRow,
    Participant,
    Role,
    Sender,
    SessionId,
    SessionKey,
    SessionRow,
    Share,
)
from agent.protocol.prompts import QueuedPrompt
from agent.protocol.waiting import WAIT_MAX, CallId, Patient

Selector = Annotated[str, Meta(min_length=1, max_length=256)]


Reason = Annotated[str, Meta(max_length=4096)]
TAIL_MAX = 8192
"""Characters of the rows of a turn that may still change: one screen."""


class Ready(Struct, frozen=True, kw_only=True):
    """`gateway.ready`: who speaks here. The first one that a client ever gets names its own device."""

    device: DeviceKey
    name: Annotated[str, Meta(max_length=256)]
    version: Annotated[str, Meta(max_length=64)] = ""  # of the program
    protocol: Count = 1
    capabilities: Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=64)] = ()
    port: Whole = 0  # of the LAN listener, for the other side's memory; what is no port is not kept
    run: Annotated[str, Meta(max_length=64)] = ""  # random, one for each start: two at once are two machines


class TwinSeen(Struct, frozen=True, kw_only=True):
    """`gateway.twin`: two machines with the receiver's key are linked to the sender."""

    hosts: Annotated[tuple[Annotated[str, Meta(max_length=256)], ...], Meta(max_length=4)] = ()  # where they are


class Nothing(Struct, frozen=True):
    """Parameters of a method without parameters, and the result of one without a result."""


class ListSessions(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Parameters of `session.list` and `session.watch`: which sessions to list."""

    scope: Literal["all", "local", "remote"] = "all"
    all: bool = False  # also those of devices that are out of reach, as last known (R12)


class CreateSession(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Parameters of `session.create`: what to start, where, and who may use it."""

    device: Annotated[str, Meta(max_length=256)] = ""  # name, id or prefix; empty: here
    backend: Annotated[str, Meta(max_length=64)] = ""  # empty: the default
    title: Annotated[str, Meta(max_length=512)] = ""
    cwd: Annotated[str, Meta(max_length=4096)] = ""
    command: Annotated[tuple[Annotated[str, Meta(max_length=65_536)], ...], Meta(max_length=256)] = ()
    share: Share = "all"  # only for a session here
    wait: Annotated[float, Meta(ge=0, le=WAIT_MAX)] = 0.0  # seconds for a device out of reach; 0: fails at once
    call_id: CallId = ""  # as in `Patient`
    shell: Annotated[str, Meta(max_length=4096)] = ""  # bash, zsh, fish, or a path; empty: the user's own


class Created(Struct, frozen=True):
    """Result of `session.create`: the id of the new session."""

    session_id: SessionKey


class Attach(Patient, frozen=True, kw_only=True, omit_defaults=True):
    """`session.attach`: with `after` and `epoch`, resume; else hydrate."""

    after: Count | None = None
    epoch: Id = ""
    colours: bool = False  # keep the colours (SGR) of what programs print; else their text comes without
    tail: bool = False  # send `turn.tail`, too
    viewers: Annotated[int, Meta(ge=1, le=10_000)] = 1  # clients behind this connection, as a proxy tells


class Snapshot(Struct, frozen=True, kw_only=True):
    """The newest part of a transcript, shortened (`protocol.snapshot.LogTail`)."""

    session: SessionRow
    events: Rows[Event]
    truncated: bool = False  # older events are in `session.history`


class Attached(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of `session.attach`: either `snapshot` up to `seq`, or `resumed` and the events after `after` follow."""

    session_id: SessionKey
    epoch: Id
    seq: Count
    snapshot: Snapshot | None = None
    resumed: bool = False
    participants: Rows[Participant] = ()
    requests: Rows[RequestOpen] = ()
    options: Options = ()
    commands: Commands = ()
    queue: Rows[QueuedPrompt] = ()  # what waits, shortened, the one that runs next first
    stalled: Reason = ""  # as `session.stalled` tells it


class Detach(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`session.detach`: with `viewers`, so many clients stay attached over this connection."""

    session_id: Selector
    viewers: Annotated[int, Meta(ge=0, le=10_000)] = 0


class OnSession(Patient, frozen=True, kw_only=True, omit_defaults=True):
    """Parameters of `session.close` and `session.participants`: the session that is meant."""


class Interrupt(Patient, frozen=True, kw_only=True, omit_defaults=True):
    """`session.interrupt`: stop the running turn; with `turn`, only if it is that one."""

    turn: Annotated[int, Meta(ge=0, le=2**53)] = 0  # 0: whichever runs
    all: bool = False  # first take back what waits, as far as the caller may (S12)


class Interrupted(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of `session.interrupt`: what is stopped, what was taken back, and what waits behind it, shortened."""

    turn: Count | None = None  # that is being stopped; 0: none ran; None: not told, by an earlier version
    queue: Rows[QueuedPrompt] = ()  # what runs next
    dropped: Rows[QueuedPrompt] | None = None  # with `all`: what was taken back; None: an earlier version did not look


class Rename(Patient, frozen=True, kw_only=True, omit_defaults=True):
    """Parameters of `session.rename`: the session and its new title."""

    title: Annotated[str, Meta(max_length=512)]


class ShareSession(Struct, frozen=True, kw_only=True):
    """`session.share`: what other devices may do with a session of this device."""

    session_id: Selector
    share: Share


class History(Patient, frozen=True, kw_only=True, omit_defaults=True):
    """`session.history`: up to `limit` events numbered below `before` (default: the newest) or above `after`."""

    before: Annotated[int, Meta(ge=1, le=NUMBER_MAX)] | None = None
    after: Count | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200
    colours: bool = False  # as in `session.attach`


class Page(Struct, frozen=True, kw_only=True):
    """Result of `session.history`, newest event last. Shortened as a snapshot is unless `after` was given."""

    epoch: Id
    seq: Count  # of the newest event there is
    events: Rows[Event]
    more: bool = False  # whether there are older (with `after`: newer) ones
    session_id: SessionKey = SessionId("")  # which one the selector named
    first: Count = 0  # the oldest event that the page stands for, left out or not; 0: none, or not told


class Submit(Patient, frozen=True, kw_only=True, omit_defaults=True):
    """Parameters of `prompt.submit`. The client chooses `prompt_id`: the same one again never runs twice (S3)."""

    prompt_id: Annotated[str, Meta(min_length=1, max_length=128)]
    text: Text
    client: Annotated[str, Meta(max_length=64)] = ""  # which client of the calling device
    steer: bool = False  # stop the running turn and go first


class Configure(Patient, frozen=True, kw_only=True, omit_defaults=True):
    """`session.configure`: set an option; `session.info` carries those that there are."""

    option: Id
    value: Id


class Submitted(Struct, frozen=True, kw_only=True):
    """Result of `prompt.submit`: the turn, and whether it runs, waits, or was there before."""

    turn: Count
    status: Literal["started", "queued", "duplicate"]
    position: Count = 0  # prompts before this one
    session_id: SessionKey = SessionId("")


class AnswerRequest(Patient, frozen=True, kw_only=True, omit_defaults=True):
    """Parameters of `request.answer`. An empty `request_id` means the only open request."""

    answer: Answer
    request_id: Id = ""
    client: Annotated[str, Meta(max_length=64)] = ""


class Answered(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of `request.answer`: whether this answer counted, and whose did (S9)."""

    status: Literal["accepted", "already-answered", "expired"]
    by: Sender | None = None
    request_id: Id = ""
    answer: Answer = ""  # already answered: how; empty for a secret
    reason: Reason = ""  # expired: why nobody waits for the answer any more


class EventOf(Struct, frozen=True, kw_only=True):
    """`event`: one entry of an attached session's log. The payload passes through gateways untouched (L7)."""

    session_id: SessionKey
    seq: Count
    type: Annotated[str, Meta(max_length=64)]
    payload: Raw
    at: Annotated[str, Meta(max_length=40)]


class TurnTail(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`turn.tail`: what stands in rows of the running turn that may still change, behind the events up to `after_seq`.

    It takes the place of the one before; without text nothing moves. It is stored nowhere and has no number of its own.
    """

    session_id: SessionKey
    turn: Count
    after_seq: Count
    text: Annotated[str, Meta(max_length=TAIL_MAX)] = ""


class PeersChanged(Struct, frozen=True, kw_only=True):
    """`peer.changed`: device rows that are new or different, and ids of removed ones; coalesced."""

    changed: Rows[DeviceRow] = ()
    removed: Rows[DeviceKey] = ()


class SessionsChanged(Struct, frozen=True, kw_only=True):
    """`session.changed`: session rows that are new or different, and ids of removed ones; coalesced."""

    changed: Rows[SessionRow] = ()
    removed: Rows[SessionKey] = ()


class ParticipantsChanged(Struct, frozen=True, kw_only=True):
    """`session.participants` as a notification: a device joined or left (S8)."""

    session_id: SessionKey
    participants: Rows[Participant]


class SessionStalled(Struct, frozen=True, kw_only=True):
    """`session.stalled`: why the device cannot store events of the session, so that none are shown; empty: it can."""

    session_id: SessionKey
    reason: Reason = ""


class PeerLink(Struct, frozen=True, kw_only=True):
    """`peer.lost` and `peer.back`: the link under attached sessions broke, or is open again (L5)."""

    device: DeviceKey
    name: Word
    sessions: Rows[SessionKey] = ()
    reason: Line = ""  # of `peer.lost`: `it has stopped`, if the device said so before; empty: it broke


class SessionLost(Struct, frozen=True, kw_only=True):
    """`session.lost`: this client is no longer attached to the session; to all others it is as before.

    It attaches again from its last `seq`, or is told then why it cannot. With a `kind` there is nothing to come back
    to: it is that of the error with which whoever watches ends.
    """

    session_id: SessionKey
    reason: Line = ""
    kind: Word = ""


class Pair(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`device.pair`: open the pairing window; it closes with the connection that opened it."""

    ttl: Annotated[float, Meta(ge=1, le=3600)] = 300.0  # seconds
    long: bool = False  # a code of 128 bits, to paste or to scan
    guest: bool = False  # let it in on this device alone, and only as the rest says
    read_only: bool = False  # a guest may watch, and no more
    session: Annotated[str, Meta(max_length=256)] = ""  # the only one that a guest may reach; empty: any
    stay: Annotated[float, Meta(gt=0, le=STAY_MAX)] = STAY  # seconds that a guest may stay
    qr: bool = False  # with its QR code


class PairWindow(Struct, frozen=True, kw_only=True):
    """Result of `device.pair`. The code goes to the person at this device and nowhere else."""

    code: Line
    ttl: Amount
    port: PortOrZero
    addresses: Rows[Line] = ()
    tries: Count = 3  # guesses it takes; 0: any number
    link: Line = ""  # of a long code: all that a QR code says
    qr: Rows[Line] = ()  # its QR code, of the link if there is one: rows of modules, `1` is dark; no border


class Namesake(Struct, frozen=True, kw_only=True):
    """A trusted device that is away and has the name of another one: perhaps the same machine, installed anew."""

    id: DeviceKey
    name: Word
    seen_at: Stamp | None  # RFC 3339, None: never by this device


class PairNews(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`device.pairing`: what happened at the pairing window; after `paired`, `closed` or `expired` it is gone."""

    what: Literal["paired", "wrong-code", "failed", "expired", "exhausted", "closed"]
    device: DeviceKey = DeviceId("")
    name: Word = ""
    tries_left: Count = 0  # of a short code
    failed: Count = 0  # tries so far that came to nothing
    reason: Line = ""  # failed: why a device that knows the code was not paired; no try is used up by that
    hint: Line = ""  # failed: what to do about it
    namesakes: Rows[Namesake] = ()  # paired: who was called so before


class Join(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Parameters of `device.join`. `address` (HOST:PORT of the window) is for networks without multicast."""

    code: Annotated[str, Meta(max_length=512)]  # short, long, or a link
    address: Annotated[str, Meta(max_length=256)] = ""
    name: Annotated[str, Meta(max_length=256)] = ""  # which window, when two carry the same slot


class FindWindows(Struct, frozen=True, kw_only=True):
    """`device.windows`: which devices show a code that begins like this one."""

    code: Annotated[str, Meta(max_length=512)]


class WindowRow(Struct, frozen=True, kw_only=True):
    """One open pairing window, as it is announced by anybody."""

    name: Word  # cleaned
    address: Line  # HOST:PORT


class Unpair(Struct, frozen=True, kw_only=True):
    """Parameters of `device.unpair`. The result is the row of the device, with those that it had let in."""

    device: Selector
    with_admitted: bool = False  # whom it let in goes too


class LimitDevice(Struct, frozen=True, kw_only=True):
    """`device.limit`: a paired device may only watch here, or do all that its role allows."""

    device: Selector
    read_only: bool


class Limited(Struct, frozen=True, kw_only=True):
    """Result of `device.limit`: the rows of the devices that changed."""

    others: Rows[DeviceRef] = ()  # whom the device let in: they are limited with it, or in when its limit ends


class ListAudit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`audit.list`, `audit.watch`: the newest `limit` entries at or after `since`."""

    since: Annotated[str, Meta(max_length=64)] = ""  # RFC 3339; empty: any
    limit: Annotated[int, Meta(ge=1, le=5000)] = 1000


class AuditNoted(Struct, frozen=True, kw_only=True):
    """`audit.noted`: entries of the audit log since the last notification, oldest first."""

    entries: Rows[AuditEntry]


class Left(Struct, frozen=True, kw_only=True):
    """Result of `device.leave`: how many devices have heard of it."""

    told: Count  # devices that have heard of it
    members: Count  # devices that were in the household beside this one


class HouseholdSync(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`household.sync`: what this device knows of its household. Both sides send it whenever a link comes up."""

    household: Annotated[bytes, Meta(max_length=16)] = b""  # empty: the caller shares none with anybody
    digests: Annotated[tuple[Digest, ...], Meta(max_length=4096)] = ()  # of the statements that it has


class HouseholdNews(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`household.tell`, and the result of `household.sync`: statements that the other side may lack, and the keys."""

    household: Annotated[bytes, Meta(max_length=16)] = b""
    founder: Annotated[bytes, Meta(max_length=1024)] = b""  # certificate (DER)
    statements: Annotated[tuple[Signed, ...], Meta(max_length=4096)] = ()  # none before what it stands on
    keys: Annotated[tuple[KeyEpoch, ...], Meta(max_length=16)] = ()


class PairedRow(Struct, frozen=True, kw_only=True):
    """One trusted device as `device.list` and `agent devices --json` give it. Grows only."""

    id: DeviceKey
    name: Word
    fingerprint: Word  # SHA-256 of its certificate, hexadecimal
    self: bool
    paired_at: Stamp | None  # RFC 3339
    seen_at: Stamp | None  # RFC 3339, None: never since
    state: Literal["online", "stale", "offline"] = "offline"
    reason: Line = ""  # how we know that it is not online, or that it does not accept this device
    role: Role = "member"  # guest: let in here alone; host: this device is a guest of it
    admitted_by: DeviceRef | None = None  # who let it into the household; of the founder itself; None: not in it
    read_only: bool = False  # it may watch only; of a host: this device may
    session: SessionKey = SessionId("")  # the only one that is reached; empty: any
    session_title: Line = ""  # of that one, if it is known
    expires_at: Stamp | None = None  # RFC 3339: when a guest's time is over
    was: Word = ""  # what it was called before, for 30 days
    namesakes: Rows[Namesake] = ()  # of one that is there; told by `device.join`: those of this device, too
    let_in: Rows[DeviceRef] = ()  # told by `device.unpair`: who is in by this one alone


class StatusReport(Struct, frozen=True, kw_only=True):
    """Result of `gateway.status`: this device, its version, addresses and troubles."""

    id: DeviceKey
    name: Word
    version: Word
    pid: Count
    port: PortOrZero
    addresses: Rows[Line]
    interfaces: Rows[Line]
    started_at: Stamp  # RFC 3339
    uptime: Amount  # seconds
    paired: Count
    online: Count  # paired devices that are
    links: Count
    sessions: Count
    presence: Word  # presence.mode
    home: Line  # state folder
    page: Line = ""  # where the page is; empty: it is not served
    transcripts: Count = 0  # bytes that they take, with their index
    problems: Rows[Line] = ()  # lasting trouble, one line each
    reach: Rows[Line] = ()  # of the problems, those because of which devices do not find or trust each other
    notices: Rows[Line] = ()  # what happened since the start and the owner should know, one line each
    noticed_at: Rows[Stamp] = ()  # RFC 3339: when each of the notices was said
