"""Publishes this device's record: what changed, when it may, under a revision that never returns (DESIGN §8).

Every record is signed. Sessions are sealed for the household; while there is none they are not announced at all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from agent.observers import Observers
from agent.ports import Clock, Discovery, Heard, SealKeys
from agent.presence.rules.pacing import Pacer, Urgency, next_revision
from agent.presence.rules.registry import Registry
from agent.presence.rules.seal import NONCE_SIZE, SIGNATURE_ROOM, seal, sign, verify
from agent.presence.rules.txt import SIZE_MAX, announced_status, encode, make_record, open_entries
from agent.protocol.identity import Identity
from agent.protocol.model import PresenceRecord, SessionRow, Status
from agent.tasks import Alarm

ECHO_APART = 5.0
"""Seconds between two answers to somebody who publishes under our name: an attacker must not set our rate."""


class Announcer:
    """Publishes this device's record, and again whenever the registry's view of it changes. `run` until cancelled."""

    def __init__(
        self,
        discovery: Discovery,
        registry: Registry,
        clock: Clock,
        *,
        identity: Identity,
        keys: SealKeys | None,
        entropy: Callable[[int], bytes],
        previous_revision: int,
        save_revision: Callable[[int], None],
    ) -> None:
        """`identity` signs what is announced, `keys` seal it; `entropy` gives that many random bytes.

        `keys` None: sessions are announced to everybody (`presence.mode = "open"`).
        """
        self._discovery = discovery
        self._registry = registry
        self._clock = clock
        self._identity = identity
        self._keys = keys
        self._entropy = entropy
        self._revision = previous_revision
        self._save_revision = save_revision
        self.twin_heard: Observers[[tuple[str, ...]]] = Observers()
        """Observers of another device that has this one's key; they get its addresses."""
        self._pacer = Pacer()
        self._alarm = Alarm(clock)
        self._published: tuple[PresenceRecord, object] | None = None  # without its revision, and how it was written
        self._echo: float | None = None  # when the answer to an echo is due
        self._echoed_at = float("-inf")
        self._again = False  # whether the same content goes out under a new revision

    def changed(self, urgency: Urgency) -> None:
        """Publish when the pace allows: the registry's view of this device has changed."""
        self._pacer.changed(urgency, self._clock.monotonic())
        self._alarm.ring()

    def echoed(self, heard: Heard | None = None) -> None:
        """Publish anew: somebody else published under our name, whose version would stay (FACTS-MDNS §8).

        `heard` is their record, if it is a whole one of this device.
        """
        if heard is not None and self._is_twin(heard):
            self.twin_heard.notify(heard.record.hosts)
        if self._echo is None:
            self._echo = max(self._clock.monotonic(), self._echoed_at + ECHO_APART)
            self._alarm.ring()

    def _is_twin(self, heard: Heard) -> bool:
        # Signed elsewhere by our very key, as by a copied disk: what somebody repeats of ours is older.
        key = self._identity.key.public_key()
        return heard.record.revision > self._revision and verify(
            heard.strings, instance=heard.instance, port=heard.record.port, key=key
        )

    def renamed(self) -> None:
        """Sign and publish anew, before this returns: the instance has another name, which signatures cover."""
        if self._published is not None:
            self._again = True
            self._publish()

    async def run(self) -> None:
        """Publish at once, then whenever something changed and the pace allows."""
        self.changed("state")
        while True:
            now = self._clock.monotonic()
            if self._echo is not None and self._echo <= now:
                self._echo = None
                self._echoed_at = now
                self._again = True
                self._pacer.changed("state", now)
            if self._pacer.take(now):
                self._publish()
            times = [time for time in (self._pacer.due(), self._echo) if time is not None]
            await self._alarm.wait(min(times) - now if times else None)

    def _publish(self) -> None:
        own = self._registry.own_row
        sessions = [
            row for row in self._registry.sessions("local") if row.share != "private"
        ]  # nor sealed, nor counted
        if self._keys is None:  # for anyone to read: nobody chose these words for that
            sessions = [replace(row, title="") if row.untitled else row for row in sessions]
        revision = next_revision(self._revision, int(self._clock.time() * 1000))
        record = make_record(own.id, revision, own.name, port=own.port, sessions=sessions)
        sealing = self._keys.current() if self._keys is not None else None
        content = (replace(record, revision=0), sealing)
        if content == self._published and not self._again:
            return
        self._published = content
        self._again = False
        self._revision = revision
        self._save_revision(revision)
        self._discovery.publish(self._written(record, sealing))

    def _written(self, record: PresenceRecord, sealing: tuple[int, bytes] | None) -> list[bytes]:
        room = SIZE_MAX - SIGNATURE_ROOM
        if self._keys is None:
            strings = encode(record, open_entries, room=room)
        elif sealing is None:
            strings = encode(replace(record, sessions=()), room=room)
        else:
            sealed = partial(
                seal,
                key=sealing[1],
                epoch=sealing[0],
                device=record.device,
                revision=record.revision,
                nonce=self._entropy(NONCE_SIZE),
            )
            strings = encode(record, sealed, room=room)
        instance = self._discovery.instance()
        return [*strings, sign(strings, instance=instance, port=record.port, key=self._identity.key)]


def urgency(before: SessionRow | None, after: SessionRow | None) -> Urgency | None:
    """How urgent a session row's change is for the network; None if no record shows it."""
    was = announced_status(before.status) if before is not None and _is_announced(before) else None
    now = announced_status(after.status) if after is not None and _is_announced(after) else None
    if was is not now:
        return "needs-input" if now is Status.NEEDS_INPUT else "state"
    if before is None or after is None or now is None:
        return None
    return "title" if (before.title, before.updated_at) != (after.title, after.updated_at) else None


def _is_announced(row: SessionRow) -> bool:
    return row.status.live and row.share != "private"
