"""What every client must see and what must become of every prompt (DESIGN §4, L5, L8). Pure: it is told everything.

A session's log is known by what its host stores; before that is read, and where it is no more, by what was shown first.
Whoever is shown something else has been fooled. A log stays the same one until an older copy of its host's state is put
back (S15): the lives that a service tells (`epoch`) are many, the logs are few.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any, Literal, NamedTuple

from agent.protocol.events import STREAMED

Json = dict[str, Any]
Log = tuple[str, int]
"""A session, and how often the state of its host was put back before."""


UNTRUE = frozenset({"session-not-found", "ambiguous", "not-paired", "internal", "method-not-found", "bad-params"})
"""Reasons that are not true of any session here, whatever has failed."""


class Violation(NamedTuple):
    """Something that must not happen."""

    kind: str
    what: str
    round: int


def digest(event: Json) -> bytes:
    """What an event says, short."""
    told = json.dumps([event["type"], event["payload"], event["at"]], sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(told.encode(), digest_size=8).digest()


class Prompt:
    """A text that somebody typed."""

    def __init__(self, prompt_id: str, session: str, by: str, ledger: str) -> None:
        self.id, self.session, self.by, self.ledger = prompt_id, session, by, ledger
        self.state: Literal["typed", "accepted", "given back"] = "typed"
        self.reason = ""
        self.counted = True  # it writes a line into the ledger when it runs
        self.unheard = False  # whoever typed it was not told its reply
        self.excused = False  # an older copy of the state was put back: nobody can know of it any more
        self.ends: list[str] = []  # how its turns have ended, as the log tells
        self.told: list[int] = []  # the turns that it began, as the log tells

    def settled(self) -> bool:
        """Whether it has come to an end: given back, or its turn is over."""
        return self.state == "given back" or (self.state == "accepted" and 0 < len(self.told) <= len(self.ends))

    def __str__(self) -> str:
        return f"{self.id} of {self.by} in {self.session}"


class Model:
    """The truth, and who departed from it."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self._seen: set[object] = set()
        self.prompts: dict[str, Prompt] = {}
        self.ended: set[str] = set()  # terminals whose programs have been ended
        self.keys: dict[str, tuple[str, str]] = {}  # word -> the terminal on which it was typed, what came of it
        self.round = 0
        self.compared = 0
        self.refused: Counter[str] = Counter()
        self._truth: dict[Log, dict[int, bytes]] = {}
        self._shown: dict[Log, int] = {}
        self._stored: dict[Log, int] = {}
        self._texts: dict[str, Prompt] = {}
        self._copies: Counter[str] = Counter()  # session -> how often its host's state was put back
        self._logs: dict[tuple[str, str], Log] = {}  # a session and an epoch -> of which log that is a life
        self._turns: dict[Log, dict[int, Prompt]] = {}

    def wrong(self, kind: str, what: str, about: object = None) -> None:
        """Note a violation; of several in one round `about` the same, the first."""
        seen = self.round, kind, what if about is None else about
        if seen not in self._seen:
            self._seen.add(seen)
            self.violations.append(Violation(kind, what, self.round))

    def count(self, *kinds: str) -> int:
        """How many violations of these kinds there are."""
        return sum(each.kind in kinds for each in self.violations)

    def attach_refused(self, who: str, session: str, kind: str, said: str) -> None:
        """A client was refused a session that is there."""
        if kind in UNTRUE and session not in self.ended:
            self.wrong("untrue", f"{who} was refused {session}, which is there: {said} (L8, R12)", (who, session))

    def log_now(self, session: str) -> Log:
        """The log that a session has at its host."""
        return session, self._copies[session]

    def log_of(self, session: str, epoch: str) -> Log:
        """The log of which that is a life; of an epoch that nobody has told before, the present one."""
        return self._logs.setdefault((session, epoch), self.log_now(session))

    def goes_on(self, who: str, before: Log, after: Log, seq: int) -> None:
        """A client that knew `before` up to `seq` goes on in `after`: up to there they must be the same."""
        known = self._truth.setdefault(after, {})
        for number, told in self._truth.get(before, {}).items():
            if number <= seq and known.setdefault(number, told) != told:
                self.wrong("mixture", f"{who} goes on in another log of {before[0]} at {seq} (S15)")
                return

    # --- logs --------------------------------------------------------------------------------------------------------

    def shown(self, who: str, log: Log, event: Json) -> None:
        """A client was shown an event of that log."""
        truth = self._truth.setdefault(log, {})
        told = digest(event)
        self.compared += 1
        self._shown[log] = max(self._shown.get(log, 0), event["seq"])
        if truth.setdefault(event["seq"], told) != told:
            self.wrong("altered", f"{who} was shown another event {event['seq']} of {log[0]}: {event}", (who, log))

    def stored(self, log: Log, events: list[Json]) -> None:
        """The host has these events of that log, the next ones after those that were told before."""
        truth = self._truth.setdefault(log, {})
        for event in events:
            expected = self._stored.get(log, 0) + 1
            if event["seq"] != expected:
                self.wrong("stored", f"{log[0]} has event {event['seq']} stored where {expected} should be")
            if truth.setdefault(event["seq"], digest(event)) != digest(event):
                self.wrong("altered", f"{log[0]} has another event {event['seq']} stored than was shown: {event}", log)
            self._stored[log] = expected
            self._follow_prompts(log, event)

    def ends_at(self, log: Log, newest: int, shown: int) -> None:
        """The host says that the log ends there; `shown` was the newest that anybody was shown before it was asked."""
        if shown > newest:
            self.wrong("vanished", f"event {shown} of {log[0]} was shown, and the log ends at {newest} (S2)")

    def newest_shown(self, log: Log) -> int:
        """The newest event of that log that anybody was shown."""
        return self._shown.get(log, 0)

    def stored_up_to(self, log: Log) -> int:
        """The newest event that was told of that log."""
        return self._stored.get(log, 0)

    def _follow_prompts(self, log: Log, event: Json) -> None:
        payload = event["payload"]
        turns = self._turns.setdefault(log, {})
        if event["type"] == "message.user":
            prompt = self.prompts.get(payload["prompt_id"]) or self._texts.get(payload["text"])
            if prompt is None:
                return
            turns[payload["turn"]] = prompt
            prompt.told.append(payload["turn"])
        elif event["type"] == "turn.complete" and (ran := turns.get(payload["turn"])):
            ran.ends.append(payload["status"])

    # --- prompts -----------------------------------------------------------------------------------------------------

    def typed(self, prompt: Prompt, text: str = "") -> None:
        """Somebody has typed it. `text`: by which the log tells of it, if its id is not known."""
        self.prompts[prompt.id] = prompt
        self._texts[text or prompt.id] = prompt

    def restored(self, sessions: set[str]) -> None:
        """Their state is an older one now: what was said since, and what is on its way, may be lost or run again."""
        for prompt in self.prompts.values():
            if prompt.session in sessions:
                prompt.excused = True

    def another_log(self, sessions: set[str]) -> None:
        """An older copy of their state is put back."""
        self._copies.update(sessions)

    def unsettled(self) -> list[Prompt]:
        """Prompts of which nobody knows yet what becomes of them."""
        return [prompt for prompt in self.prompts.values() if not prompt.excused and not prompt.settled()]

    def judge(self, ran: Counter[str], sessions: set[str]) -> None:
        """What has become of the prompts in these sessions. `ran`: how often each did, by its name in the ledger."""
        for prompt in self.prompts.values():
            if prompt.session in sessions and not prompt.excused:
                self._judge(prompt, ran[prompt.ledger])

    def _judge(self, prompt: Prompt, ran: int) -> None:
        if ran > 1 or len(prompt.told) > 1:
            self.wrong("doubled", f"prompt {prompt} ran {ran} times, is {len(prompt.told)} times in the log (S3)")
        if not prompt.settled():
            ends = f"{len(prompt.told)} times in the log, ended {prompt.ends}"
            self.wrong("lost", f"prompt {prompt} was {prompt.state} and never came to an end: ran {ran} times, {ends}")
        elif prompt.state == "given back" and (ran or prompt.told):
            self.wrong("untrue", f"prompt {prompt} was given back ({prompt.reason}), and ran {ran} times")
        elif prompt.ends == ["complete"] and prompt.unheard:
            self.wrong("silent", f"prompt {prompt} is complete, and its reply was not shown")
        elif prompt.ends == ["complete"] and prompt.counted and not ran:
            self.wrong("lost", f"prompt {prompt} is told as complete, and did not run")

    def judge_keys(self, typed: Counter[str], terminals: set[str]) -> None:
        """What has become of the words that were typed on terminals; `terminals`: those that still run."""
        for word, (terminal, outcome) in self.keys.items():
            if typed[word] > 1:
                self.wrong("doubled", f"{word}, {outcome}, arrived {typed[word]} times on the terminal {terminal}")
            elif not typed[word] and outcome == "acknowledged" and terminal in terminals:
                self.wrong("lost", f"{word} was acknowledged, and did not arrive on the terminal {terminal}")


class Place:
    """How far one client is in one session; it is told what a client is told."""

    def __init__(self, model: Model, who: str, session: str) -> None:
        self._model, self.who, self.session = model, who, session
        self.epoch, self.seq = "", 0
        self.log: Log = session, 0

    def is_at(self, log: Log, epoch: str, seq: int) -> bool:
        """Whether it has come there, in that log."""
        return self.seq >= seq and (self.log == log or self.epoch == epoch)

    def attached(self, asked: Json, told: Json) -> list[Json]:
        """The answer to `session.attach`; the events of the snapshot."""
        snapshot = told.get("snapshot")
        log = self._model.log_of(self.session, told["epoch"])
        if told.get("resumed"):
            self._goes_on(told["epoch"])
            return []
        if snapshot is None:
            self._model.wrong("mixture", f"{self.who} got neither a snapshot of {self.session} nor goes on")
            return []
        if asked.get("after") is not None and self.log == self._model.log_now(self.session):
            where = f"begins at {told['seq']}, {told['epoch']}"
            self._model.wrong("not resumed", f"{self.who} was at {asked} of {self.session}, {where} (S4)")
        self.epoch, self.seq, self.log = told["epoch"], told["seq"], log
        numbers = [event["seq"] for event in snapshot["events"]]
        if numbers != sorted(set(numbers)) or (numbers and numbers[-1] > self.seq):
            self._model.wrong("out of order", f"{self.who} got a snapshot of {self.session} with {numbers}")
        for event in snapshot["events"]:
            if event["type"] not in STREAMED:  # deltas of one reply are one event in a snapshot
                self._model.shown(self.who, self.log, event)
        return list(snapshot["events"])

    def _goes_on(self, epoch: str) -> None:
        log = self._model.log_of(self.session, epoch)
        if log != self.log:
            self._model.goes_on(self.who, self.log, log, self.seq)
        self.epoch, self.log = epoch, log

    def event(self, event: Json) -> bool:
        """A notification `event`; whether it is the next one. Else the client has to attach again."""
        seq = event["seq"]
        if seq == self.seq + 1:
            if event["type"] == "session.info" and event["payload"].get("epoch"):
                self._goes_on(event["payload"]["epoch"])
            self.seq = seq
            self._model.shown(self.who, self.log, event)
            return True
        if seq <= self.seq:
            self._model.wrong("doubled", f"{self.who} was told event {seq} of {self.session} again, at {self.seq} (S4)")
        else:
            self._model.wrong("gap", f"{self.who} was told event {seq} of {self.session}, at {self.seq} (S4)")
        return False


LINE = 10
"""Bytes of one line of the program on the terminals."""


def written(offset: int, size: int) -> bytes:
    """What the program on a terminal writes there: lines with their number, from 0, in eight digits."""
    first, last = offset // LINE, (offset + size) // LINE + 1
    lines = b"".join(b"%08d\r\n" % number for number in range(first, last))
    return lines[offset - first * LINE :][:size]


class Screen:
    """How far one client is in what a terminal was written."""

    def __init__(self, model: Model, who: str, session: str) -> None:
        self._model, self.who, self.session = model, who, session
        self.epoch, self.offset = "", 0
        self.acknowledged = 0

    def attached(self, asked: Json, told: Json, data: bytes) -> None:
        """The answer to `terminal.attach`."""
        if told.get("resumed") and (told["epoch"], told["offset"]) != (asked.get("epoch"), asked.get("after")):
            self._model.wrong("mixture", f"{self.who} resumed the terminal {self.session} elsewhere: {asked}, {told}")
        self.epoch, self.offset = told["epoch"], told["offset"]
        self._take(data)

    def output(self, offset: int, data: bytes) -> bool:
        """A notification `terminal.output`; whether it is the next one. Else the client has to attach again."""
        if offset > self.offset:
            return False
        fresh = data[self.offset - offset :]  # what it has already, it drops
        self._take(fresh)
        return True

    def _take(self, data: bytes) -> None:
        self._model.compared += 1
        if data != written(self.offset, len(data)):
            wrong = f"{data[:40]!r} at {self.offset}, not {written(self.offset, 40)!r}"
            self._model.wrong("altered", f"{self.who} was shown {wrong} of the terminal {self.session}")
        self.offset += len(data)
