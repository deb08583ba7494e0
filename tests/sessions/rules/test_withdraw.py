"""sessions.rules.state: prompts that are taken back while they wait, and what random orders of everything come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent.errors import Forbidden, PromptNotFound
from agent.protocol.events import Event, MessageStart, SessionInfo, TurnComplete, TurnStatus, UserMessage, payload_of
from agent.protocol.model import DeviceId, Sender, SessionId
from agent.protocol.prompts import QUEUED_TEXT_MAX, PromptQueue, QueuedPrompt
from agent.sessions.rules.effects import Decision, InterruptTurn, StartTurn
from agent.sessions.rules.state import SessionMachine

OWN = Sender(device=DeviceId("desk"), name="desk")
LAPTOP = Sender(device=DeviceId("laptop"), name="laptop")
PHONE = Sender(device=DeviceId("phone"), name="phone")
NOW = 1_800_000_000.0


class Session:
    """A session with its log in a list, and the turns that its backend was given."""

    def __init__(self, log: Iterable[Event] = ()) -> None:
        self.state = SessionMachine(SessionId("s" * 16))
        self.log = list(log)
        self.effects: list[object] = []
        for event in self.log:
            self.state.apply(event)

    def take(self, decision: Decision) -> None:
        for event in self.state.number(decision.payloads, NOW):
            self.state.apply(event)
            self.log.append(event)
        self.effects += decision.effects

    def prompt(self, prompt_id: str, by: Sender = LAPTOP, *, steer: bool = False) -> str:
        decision, verdict = self.state.prompt(prompt_id, f"text of {prompt_id}", by, steer=steer)
        self.take(decision)
        return verdict.status

    def withdraw(self, prompt_id: str, by: Sender = LAPTOP) -> tuple[str, str]:
        decision, told = self.state.withdraw(prompt_id, by, owner=by == OWN)
        self.take(decision)
        return told.status, told.text

    def waiting(self) -> list[str]:
        return [each.prompt_id for each in self.state.queue]

    def restarted(self) -> Session:
        session = Session(self.log)
        session.take(session.state.recovered("the service was restarted"))
        return session


def with_waiting(*prompt_ids: str, by: Sender = LAPTOP) -> Session:
    session = Session()
    session.prompt("running", by)
    for prompt_id in prompt_ids:
        session.prompt(prompt_id, by)
    return session


def test_a_prompt_that_waits_is_taken_back_with_its_text_and_never_runs() -> None:  # S12
    session = with_waiting("a", "b")
    assert session.withdraw("a") == ("withdrawn", "text of a")
    assert session.waiting() == ["b"]
    session.take(session.state.finished("complete"))
    assert session.effects == [StartTurn(1, "text of running"), StartTurn(3, "text of b")]
    (done,) = [payload for payload in map(payload_of, session.log) if isinstance(payload, TurnComplete)][:1]
    assert (done.turn, done.status, done.withdrawn_by) == (2, "interrupted", LAPTOP)
    assert done.error == "taken back by laptop before it ran"


def test_a_prompt_that_began_says_so_and_goes_on() -> None:  # S12
    session = with_waiting()
    _, told = session.state.withdraw("running", LAPTOP, owner=False)
    assert (told.status, told.text, told.running) == ("started", "", True)
    session.take(session.state.finished("complete"))
    decision, told = session.state.withdraw("running", LAPTOP, owner=False)
    assert (decision, told.status, told.running) == (Decision(), "started", False)


def test_only_who_sent_a_prompt_and_the_owner_may_take_it_back() -> None:  # S12, S7
    session = with_waiting("a", "b")
    with pytest.raises(Forbidden, match="laptop sent that prompt"):
        session.withdraw("a", PHONE)
    assert session.withdraw("a", OWN)[0] == "withdrawn"
    assert session.withdraw("b")[0] == "withdrawn"
    assert session.waiting() == []


def test_a_prompt_that_never_was_is_an_error() -> None:
    with pytest.raises(PromptNotFound, match="got no prompt x"):
        with_waiting("a").withdraw("x")


def test_a_prompt_that_was_taken_back_stays_so_whoever_asks_or_sends_it_again() -> None:  # S3
    for session in (with_waiting("a"), with_waiting("a").restarted()):
        session.prompt("again")
        if session.waiting() == ["again"]:  # after the restart "a" runs
            continue
        session.withdraw("a")
        for known in (session, session.restarted()):
            assert known.prompt("a") == "duplicate"
            assert known.withdraw("a", OWN)[0] == "withdrawn"
            assert "a" not in known.waiting()
            assert known.state.withdraw("a", OWN, owner=True)[1].by == LAPTOP


def test_an_interrupt_of_all_drops_what_its_sender_may_and_stops_the_turn_in_one_step() -> None:
    session = with_waiting("a", "b")
    session.prompt("c", PHONE)
    decision, dropped = session.state.interrupt_all(PHONE, owner=False)
    session.take(decision)
    assert [each.prompt_id for each in dropped] == ["c"]
    assert decision.effects == (InterruptTurn(1),)
    decision, dropped = session.state.interrupt_all(OWN, owner=True, turn=9)
    session.take(decision)
    assert [each.prompt_id for each in dropped] == ["a", "b"]
    assert decision.effects == ()  # another turn runs than the one that was meant
    session.take(session.state.finished("interrupted"))
    assert session.state.status == "idle"


def test_positions_count_what_is_left() -> None:
    session = with_waiting("a", "b", "c")
    session.withdraw("a")
    _, verdict = session.state.prompt("c", "", LAPTOP)
    assert (verdict.status, verdict.position) == ("duplicate", 2)
    _, verdict = session.state.prompt("d", "", LAPTOP)
    assert (verdict.status, verdict.position) == ("queued", 3)


def test_a_waiting_prompt_of_an_unpaired_device_is_dropped_and_cannot_be_taken_back_after_that() -> None:  # T4
    session = with_waiting("a")
    session.take(session.state.drop_untrusted(lambda device: device != LAPTOP.device, "unpaired"))
    _, told = session.state.withdraw("a", OWN, owner=True)
    assert (told.status, told.running) == ("started", False)
    assert session.state.queued == 0


def test_the_queue_is_the_same_for_whoever_reads_the_log() -> None:
    session = with_waiting("a", "b", "c")
    session.prompt("first", steer=True)
    session.withdraw("b")
    queue = PromptQueue()
    for event in session.log:
        queue.apply(payload_of(event))
    assert list(queue) == list(session.state.queue)
    assert [each.prompt_id for each in queue] == ["first", "a", "c"]
    newest = queue.newest_of(LAPTOP.device)
    assert newest is not None
    assert (newest.prompt_id, queue.newest_of(PHONE.device)) == ("first", None)
    assert [queue.before(each.turn) for each in queue] == [0, 1, 2]


def test_a_long_text_is_cut_and_says_so_where_the_whole_queue_is_told() -> None:
    prompt = QueuedPrompt(turn=1, prompt_id="p", text="x" * QUEUED_TEXT_MAX, sender=LAPTOP)
    assert prompt.shortened() is prompt
    longer = QueuedPrompt(turn=1, prompt_id="p", text="x" * (QUEUED_TEXT_MAX + 1), sender=LAPTOP).shortened()
    assert (len(longer.text), longer.text[-2:]) == (QUEUED_TEXT_MAX, "x\u2026")


class RandomOrders(RuleBasedStateMachine):
    """Everything that may happen to the queue of a session, in any order (S1, S3, S12)."""

    ids = st.integers(0, 9).map("p{}".format)
    senders = st.sampled_from([OWN, LAPTOP, PHONE])

    def __init__(self) -> None:
        super().__init__()
        self.session = Session()
        self.session.take(Decision((SessionInfo(status="starting"),)))
        self.accepted: set[str] = set()
        self.taken_back: set[str] = set()
        self.dropped: set[str] = set()

    @rule(prompt_id=ids, by=senders, steer=st.booleans())
    def submit(self, prompt_id: str, by: Sender, steer: bool) -> None:
        status = self.session.prompt(prompt_id, by, steer=steer)
        assert (status == "duplicate") is (prompt_id in self.accepted)
        self.accepted.add(prompt_id)

    @rule(prompt_id=ids, by=senders)
    def withdraw(self, prompt_id: str, by: Sender) -> None:
        waiting = self.session.state.queue.find(prompt_id)
        try:
            status, text = self.session.withdraw(prompt_id, by)
        except PromptNotFound:
            assert prompt_id not in self.accepted
        except Forbidden:
            assert waiting is not None
            assert by not in {OWN, waiting.sender}
        else:
            assert (status == "withdrawn") is (waiting is not None or prompt_id in self.taken_back)
            if waiting is not None:
                assert text == waiting.text
                self.taken_back.add(prompt_id)

    @rule(by=senders)
    def interrupt_all(self, by: Sender) -> None:
        decision, dropped = self.session.state.interrupt_all(by, owner=by == OWN)
        self.session.take(decision)
        self.taken_back |= {each.prompt_id for each in dropped}

    @rule()
    def unpair(self) -> None:
        self.dropped |= {each.prompt_id for each in self.session.state.queue if each.sender == PHONE}
        self.session.take(self.session.state.drop_untrusted(lambda device: device != PHONE.device, "unpaired"))

    @rule()
    def interrupt(self) -> None:
        self.session.take(self.session.state.interrupt())

    @rule(status=st.sampled_from(["complete", "interrupted", "error"]))
    def finish(self, status: TurnStatus) -> None:
        self.session.take(self.session.state.finished(status))

    @rule()
    def start(self) -> None:
        self.session.take(self.session.state.ready())

    @rule()
    def restart(self) -> None:
        effects = self.session.effects
        self.session = self.session.restarted()
        self.session.effects[:0] = effects

    @invariant()
    def nothing_waits_for_nothing(self) -> None:
        state = self.session.state
        assert not state.queued or state.running is not None or state.status == "starting"

    def teardown(self) -> None:
        """Let the session work off what is left: each prompt has run once, or never will; never both, never neither."""
        self.start()
        while self.session.state.running is not None:
            self.finish("complete")
        payloads = [payload_of(event) for event in self.session.log]
        turns = {payload.prompt_id: payload.turn for payload in payloads if isinstance(payload, UserMessage)}
        began = Counter(payload.turn for payload in payloads if isinstance(payload, MessageStart))
        over = Counter(payload.turn for payload in payloads if isinstance(payload, TurnComplete))
        handed = Counter(effect.turn for effect in self.session.effects if isinstance(effect, StartTurn))
        assert turns.keys() == self.accepted
        assert not self.taken_back & self.dropped
        for prompt_id, turn in turns.items():
            assert handed[turn] == began[turn] == (prompt_id not in self.taken_back | self.dropped)
            assert over[turn] == 1


TestRandomOrders = RandomOrders.TestCase
