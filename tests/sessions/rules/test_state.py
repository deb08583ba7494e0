"""sessions.rules.state: prompts, turns, questions and restarts as a fold over events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Ambiguous, BadParams, Busy, RequestNotFound, SessionEnded, TooLarge
from agent.ports import (
    Asked,
    Described,
    Exited,
    Finished,
    Planned,
    Said,
    Thought,
    ToolFinished,
    ToolProgressed,
    ToolStarted,
    Unknown,
    Withdrew,
)
from agent.protocol.events import (
    TEXT_MAX,
    Choice,
    Command,
    Diff,
    Event,
    Field,
    Location,
    MessageComplete,
    MessageDelta,
    MessageStart,
    Option,
    PlanEntry,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    ToolUpdate,
    TurnComplete,
    UserMessage,
    make_event,
    payload_of,
)
from agent.protocol.excerpts import GAP
from agent.protocol.messages import Answered, AnswerRequest
from agent.protocol.model import DeviceId, Sender, SessionId, Status
from agent.protocol.snapshot import LogTail, compact
from agent.sessions.rules.answers import answer_result
from agent.sessions.rules.effects import Decision, HandAnswer, InterruptTurn, StartTurn, StopBackend
from agent.sessions.rules.mapping import payloads_of
from agent.sessions.rules.reply import HEAD_MAX, TAIL_MAX
from agent.sessions.rules.state import QUEUE_MAX, SessionMachine

ME = Sender(device=DeviceId("laptop"), name="laptop")
OTHER = Sender(device=DeviceId("phone"), name="phone")
NOW = 1_800_000_000.0


class Log:
    """A session with its log in a list, as the store would have it."""

    def __init__(self) -> None:
        self.session = SessionMachine(SessionId("s" * 16))
        self.events: list[Event] = []
        self.effects: list[object] = []

    def take(self, decision: Decision) -> None:
        for event in self.session.number(decision.payloads, NOW):
            self.session.apply(event)
            self.events.append(event)
        self.effects += decision.effects

    def prompt(self, text: str, prompt_id: str = "") -> tuple[str, int]:
        decision, verdict = self.session.prompt(prompt_id or text, text, ME)
        self.take(decision)
        return verdict.status, verdict.position

    def says(self, *events: object) -> None:
        for event in events:
            self.take(payloads_of(self.session, event))  # type: ignore[arg-type]

    def types(self) -> list[str]:
        return [event.type for event in self.events]

    def replayed(self) -> SessionMachine:
        session = SessionMachine(self.session.id)
        for event in self.events:
            session.apply(event)
        return session


def test_one_turn_at_a_time_and_the_others_wait_in_order() -> None:  # S1
    log = Log()
    assert [log.prompt(text) for text in ("a", "b", "c")] == [("started", 0), ("queued", 1), ("queued", 2)]
    assert log.session.queued == 2
    log.says(Finished(status="complete"))
    log.says(Finished(status="complete"))
    assert log.effects == [StartTurn(1, "a"), StartTurn(2, "b"), StartTurn(3, "c")]
    assert (log.session.running, log.session.queued) == (3, 0)


def test_a_full_queue_says_so_and_takes_nothing() -> None:  # S1
    log = Log()
    for n in range(QUEUE_MAX + 1):
        log.prompt(f"p{n}")
    with pytest.raises(Busy) as refused:
        log.prompt("one too many")
    assert "`agent withdraw SESSION`" in refused.value.hint
    assert log.session.queued == QUEUE_MAX


def test_the_same_prompt_id_never_runs_twice() -> None:  # S3
    log = Log()
    log.prompt("a", "id-1")
    assert log.prompt("a", "id-1") == ("duplicate", 0)
    log.says(Finished(status="complete"))
    assert log.prompt("a", "id-1") == ("duplicate", 0)
    assert log.effects == [StartTurn(1, "a")]
    assert log.replayed().prompt("id-1", "a", ME)[1].status == "duplicate"


def test_a_restart_that_changes_nothing_leaves_a_session_as_old_as_it_was() -> None:  # R4
    session = SessionMachine(SessionId("s" * 16))
    told = (
        SessionInfo(status="idle", title="Build"),
        SessionInfo(epoch="e2"),
        SessionInfo(status="idle", note="again"),
    )
    for seconds, payload in enumerate(told):
        for event in session.number((payload,), NOW + seconds):
            session.apply(event)
    assert (session.updated_at, session.seq) == (NOW, 3)
    for event in session.number((SessionInfo(title="Build the wire"),), NOW + 9):
        session.apply(event)
    assert session.updated_at == NOW + 9


def test_after_a_restart_what_ran_is_interrupted_and_what_waited_runs() -> None:  # S3
    log = Log()
    log.prompt("a")
    log.prompt("b")
    log.says(Said("half a rep"))
    restarted = log.replayed()
    decision = restarted.recovered("the service was restarted")
    assert decision.payloads == (
        MessageComplete(turn=1, text="half a rep", status="interrupted"),
        TurnComplete(turn=1, status="interrupted", error="the service was restarted"),
        SessionInfo(status="idle", note="the service was restarted"),
        MessageStart(turn=2),
    )
    assert decision.effects == (StartTurn(2, "b"),)


def test_what_there_was_to_know_of_a_program_goes_with_it_if_another_one_begins() -> None:
    log = Log()
    log.says(Described(program="bash 5.2: ends of commands are guessed, zsh took over from bash"))
    (same,) = log.replayed().recovered("the service was restarted").payloads
    (anew,) = log.replayed().recovered("the service was restarted", "a new shell").payloads
    assert isinstance(same, SessionInfo)
    assert isinstance(anew, SessionInfo)
    assert (same.program, anew.program) == (None, "bash 5.2")


def test_a_reply_is_its_deltas_and_the_whole() -> None:
    log = Log()
    log.prompt("hi")
    log.says(Said("Hel"), Said("lo"), Finished(status="complete", exit_status=0, cwd="/home"))
    assert log.types() == [
        "message.user",
        "message.start",
        "message.delta",
        "message.delta",
        "message.complete",
        "turn.complete",
    ]
    assert payload_of(log.events[4]) == MessageComplete(turn=1, text="Hello", status="complete")
    assert payload_of(log.events[5]) == TurnComplete(turn=1, status="complete", exit_status=0, cwd="/home")
    assert [event.seq for event in log.events] == [1, 2, 3, 4, 5, 6]
    assert log.session.cwd == "/home"


def test_a_tool_between_two_pieces_makes_two_parts() -> None:
    log = Log()
    log.prompt("hi")
    log.says(Said("I look."), ToolStarted(tool_id="t", title="ls"), ToolFinished(tool_id="t", status="complete"))
    log.says(Said("Done."), Finished(status="complete"))
    wholes = [payload_of(event) for event in log.events if event.type == "message.complete"]
    assert wholes == [
        MessageComplete(turn=1, part=1, text="I look.", status="complete"),
        MessageComplete(turn=1, part=2, text="Done.", status="complete"),
    ]


def test_a_reply_without_end_keeps_head_and_tail_and_says_what_is_missing() -> None:
    log = Log()
    log.prompt("yes")
    for n in range(3000):
        log.says(Said(f"{n:099}\n"))
    log.says(Finished(status="complete"))
    whole = payload_of(log.events[-2])
    assert isinstance(whole, MessageComplete)
    assert len(whole.text) < HEAD_MAX + TAIL_MAX + 100
    gone = 300_000 - HEAD_MAX - TAIL_MAX
    assert f"{GAP}… {gone:,} characters left out\n" in whole.text
    assert whole.text.startswith("0" * 99)
    assert whole.text.endswith("2999\n")
    deltas = [payload_of(event) for event in log.events if event.type == "message.delta"]
    assert "".join(delta.text for delta in deltas if isinstance(delta, MessageDelta)) == whole.text


def test_an_open_request_means_needs_input_whatever_runs() -> None:  # S10
    log = Log()
    seen = [log.session.status]
    log.prompt("read x")
    seen.append(log.session.status)
    for event in (Asked(request_id="q1", kind="line", prompt="x?"), Withdrew("q1"), Finished(status="complete")):
        log.says(event)
        seen.append(log.session.status)
    assert seen == [Status.IDLE, Status.WORKING, Status.NEEDS_INPUT, Status.WORKING, Status.IDLE]


def said(events: list[Event]) -> list[object]:
    """The texts and answers of a log, in the order in which a reader meets them."""
    found: list[object] = []
    for payload in map(payload_of, events):
        if isinstance(payload, MessageDelta | MessageComplete):
            found.append(payload.text)
        elif isinstance(payload, RequestClosed):
            found.append((payload.answer or payload.reason,))
    return found


def test_text_questions_and_answers_keep_their_order_in_a_shortened_log() -> None:  # S4, S9
    log = Log()
    log.prompt("setup")
    log.says(Said("Begins. "), Said("Name? "), Asked(request_id="q1", kind="line"), Said("(any) "))
    log.take(log.session.answer("q1", "Ada", ME)[0])
    log.says(
        Said("Hello "), Said("Ada. "), Asked(request_id="q2", kind="line"), Withdrew("q2", "too late"), Said("So ")
    )
    order = ["Begins. Name? ", "(any) ", ("Ada",), "Hello Ada. ", ("too late",)]
    assert said(list(compact(log.events))) == [*order, "So "]
    log.says(Said("on."), Asked(request_id="q3", kind="line"), Finished(status="complete"))
    assert said(list(compact(log.events))) == [*order, "So on.", ("the turn is over",)]


def test_what_a_program_said_before_it_ended_stands_before_the_question_that_ended_with_it() -> None:  # S9, S14
    log = Log()
    log.prompt("setup")
    log.says(Said("Name? "), Asked(request_id="q1", kind="line"), Said("(any) "))
    log.says(Exited(status="failed", reason="killed"))
    assert said(list(compact(log.events))) == ["Name? ", "(any) ", ("the session has failed",)]


def test_the_first_answer_wins_and_later_ones_are_told_who() -> None:  # S9
    log = Log()
    log.prompt("read x")
    log.says(Asked(request_id="q1", kind="line"))
    decision, _ = log.session.answer("", "42", ME)
    log.take(decision)
    assert decision.effects == (HandAnswer("q1", "42"),)
    again, closed = log.session.answer("q1", "43", OTHER)
    assert (again, closed.by, closed.answer) == (Decision(), ME, "42")
    with pytest.raises(RequestNotFound):
        log.session.answer("", "44", OTHER)
    with pytest.raises(RequestNotFound):
        log.session.answer("q9", "44", OTHER)


def test_a_request_of_a_turn_that_ended_is_told_expired() -> None:  # S9
    log = Log()
    log.prompt("read x")
    log.says(Asked(request_id="q1", kind="line"), Finished(status="interrupted"))
    _, closed = log.session.answer("q1", "late", ME)
    why = "the turn was interrupted"
    assert closed == RequestClosed(turn=1, request_id="q1", status="expired", reason=why)
    late = AnswerRequest(session_id=SessionId("s"), request_id="q1", answer="late")
    assert answer_result(late, ME, closed, first=False) == Answered(status="expired", request_id="q1", reason=why)


def test_why_a_question_is_open_no_more_is_in_the_log() -> None:  # S9
    log = Log()
    log.prompt("read x")
    log.says(Asked(request_id="q1", kind="line"), Withdrew("q1", "nobody answered in time"))
    log.says(Asked(request_id="q2", kind="line"), Exited(status="failed", reason="killed"))
    reasons = {name: log.session.answer(name, "late", ME)[1].reason for name in ("q1", "q2")}
    assert reasons == {"q1": "nobody answered in time", "q2": "the session has failed"}


def test_own_words_beside_choices_are_an_answer_where_the_program_takes_them() -> None:
    log = Log()
    log.prompt("which?")
    log.says(Asked(request_id="q1", kind="choices", choices=(Choice(id="r", name="Red"),), own_words=True))
    decision, closed = log.session.answer("q1", "rather mauve", ME)
    assert decision.effects == (HandAnswer("q1", "rather mauve"),)
    assert closed.answer == "rather mauve"


def test_choices_are_taken_by_id_or_name_and_nothing_else() -> None:  # S9
    log = Log()
    log.prompt("rm")
    log.says(
        Asked(request_id="q1", kind="choices", choices=(Choice(id="y", name="Allow"), Choice(id="n", name="Deny")))
    )
    with pytest.raises(BadParams, match="not one of"):
        log.session.answer("q1", "maybe", ME)
    decision, _ = log.session.answer("q1", "Allow", ME)
    assert decision.effects == (HandAnswer("q1", "y"),)


def test_an_answer_that_no_terminal_takes_is_refused_while_it_can_be_mended() -> None:  # S9
    log = Log()
    log.prompt("read x")
    log.says(Asked(request_id="q1", kind="line"))
    with pytest.raises(TooLarge):
        log.session.answer("q1", "x" * 4001, ME)
    with pytest.raises(BadParams):
        log.session.answer("q1", {"field": 1}, ME)
    assert log.session.status is Status.NEEDS_INPUT


def test_several_open_requests_need_a_name() -> None:  # S9
    log = Log()
    log.prompt("go")
    log.says(Asked(request_id="q1", kind="line"), Asked(request_id="q2", kind="line"))
    with pytest.raises(Ambiguous):
        log.session.answer("", "x", ME)


def test_a_secret_reaches_the_program_and_not_the_log() -> None:  # S9, T7
    log = Log()
    log.prompt("sudo")
    log.says(Asked(request_id="q1", kind="secret"))
    decision, _ = log.session.answer("q1", "hunter2", ME)
    log.take(decision)
    assert decision.effects == (HandAnswer("q1", "hunter2"),)
    assert all(b"hunter2" not in bytes(event.payload) for event in log.events)


def test_an_interrupt_needs_a_turn() -> None:
    log = Log()
    assert log.session.interrupt() == Decision()
    log.prompt("sleep")
    assert log.session.interrupt().effects == (InterruptTurn(1),)


def test_the_end_closes_what_ran_and_what_waited_visibly() -> None:  # S3
    log = Log()
    log.prompt("a")
    log.prompt("b")
    log.says(Asked(request_id="q1", kind="line"), Exited(status="failed", reason="killed"))
    assert log.types()[-5:] == [
        "message.complete",
        "request.closed",
        "turn.complete",
        "turn.complete",
        "session.info",
    ]
    assert log.effects[-1] == StopBackend()
    assert (log.session.status, log.session.queued) == (Status.FAILED, 0)
    with pytest.raises(SessionEnded):
        log.prompt("c")
    assert log.prompt("a") == ("duplicate", 0)
    assert log.session.ended("ended", "", "error") == Decision()


def test_what_waited_when_the_session_ended_is_not_called_complete() -> None:  # S3
    log = Log()
    log.prompt("exit 3")
    log.prompt("never")
    log.says(Exited(status="ended", reason="exit status 3", exit_status=3))
    ends = [payload_of(event) for event in log.events if event.type == "turn.complete"]
    assert ends == [
        TurnComplete(turn=1, status="error", exit_status=3, error="the session has ended: exit status 3"),
        TurnComplete(turn=2, status="error", error="the session ended before it ran (exit status 3)"),
    ]


def test_a_prompt_before_the_backend_is_ready_waits_for_it() -> None:  # S1, S10
    log = Log()
    log.take(Decision((SessionInfo(status="starting"),)))
    assert log.session.status is Status.STARTING
    assert log.prompt("early") == ("queued", 0)
    log.take(log.session.ready())
    assert log.effects == [StartTurn(1, "early")]


def test_what_is_said_between_turns_is_of_turn_0_and_whole_before_the_next() -> None:
    log = Log()
    log.says(Said("boo"), Finished(status="complete"), Withdrew("q"), Said("t"))
    assert log.types() == ["message.start", "message.delta", "message.delta"]
    assert log.session.status is Status.IDLE
    log.prompt("hello")
    log.says(Said("hi"), Finished(status="complete"))
    whole = [payload for event in log.events if isinstance(payload := payload_of(event), MessageComplete)]
    assert [(message.turn, message.text) for message in whole] == [(0, "boot"), (1, "hi")]
    log.says(Thought("hm"), Said("later"))
    starts = [payload for event in log.events if isinstance(payload := payload_of(event), MessageStart)]
    assert [(start.turn, start.part) for start in starts] == [(0, 1), (1, 1), (0, 2)]


def test_steering_stops_the_turn_and_goes_first() -> None:  # S1
    log = Log()
    assert log.session.prompt("x", "nothing to stop", ME, steer=True)[1].status == "started"
    for text in ("a", "b"):
        log.prompt(text)
    decision, verdict = log.session.prompt("c", "c", ME, steer=True)
    log.take(decision)
    assert (verdict.status, verdict.position) == ("queued", 1)
    assert log.effects == [StartTurn(1, "a"), InterruptTurn(1)]
    again = log.replayed()
    assert again.queued == 2
    assert again.finished("interrupted").effects == (StartTurn(3, "c"),)  # S3: the order is in the log
    log.says(Finished(status="interrupted"))
    assert log.effects[2:] == [StartTurn(3, "c")]
    log.says(Finished(status="complete"))
    assert log.effects[3:] == [StartTurn(2, "b")]


def test_what_may_be_set_is_remembered_and_said_once() -> None:
    log = Log()
    option = Option(id="mode", name="Mode", value="ask", choices=(Choice(id="ask", name="Ask"),), category="mode")
    log.says(Described(options=(option,), commands=(Command(name="plan"),), model="m"))
    log.says(Described(options=(option,)), Described(model="m"), Described())
    assert log.types() == ["session.info"]
    assert log.replayed().options == (option,)
    assert [command.name for command in log.replayed().commands] == ["plan"]
    log.says(Described(title=""), Described(note="moved"), Described(options=()))
    assert log.types() == ["session.info"] * 3
    assert log.session.options == ()


def test_no_event_is_larger_than_a_frame_however_much_an_agent_lists() -> None:
    log = Log()
    log.prompt("a")
    wide = "\N{ELEPHANT}" * 200_000
    diffs = tuple(Diff(path=wide, patch=wide) for _ in range(40))
    choices = tuple(Choice(id=f"{n}{wide}", name=wide, kind=wide) for n in range(300))
    fields = tuple(Field(name=wide, title=wide, description=wide, choices=choices, default=wide) for _ in range(80))
    options = tuple(Option(id=wide, name=wide, value=wide, choices=choices) for _ in range(80))
    log.says(
        ToolStarted(tool_id="t", title=wide, input=wide),
        ToolProgressed(tool_id="t", text=wide, diffs=diffs),
        ToolFinished(tool_id="t", status="complete", output="x", diffs=diffs),
        Planned(tuple(PlanEntry(text=wide) for _ in range(300))),
        Unknown(wide, wide),
        Asked(request_id="q", kind="form", prompt=wide, choices=choices, detail=wide, fields=fields),
        Described(options=options, commands=tuple(Command(name=wide, description=wide) for _ in range(400))),
    )
    assert len(log.events) >= 9
    for event in log.events:
        assert payload_of(event) is not None
        assert len(bytes(event.payload)) < 1_000_000, event.type


steps = st.lists(
    st.one_of(
        st.sampled_from("abcde"),
        st.builds(Said, st.text(max_size=5)),
        st.builds(Thought, st.text(max_size=5)),
        st.builds(Finished, status=st.sampled_from(["complete", "interrupted", "error"])),
        st.builds(Asked, request_id=st.sampled_from(["q1", "q2"]), kind=st.just("line")),
        st.builds(Withdrew, st.sampled_from(["q1", "q2"])),
        st.builds(ToolStarted, tool_id=st.sampled_from("xy"), title=st.just("t")),
        st.builds(ToolFinished, tool_id=st.sampled_from("xy"), status=st.just("complete")),
    ),
    max_size=25,
)


@given(steps)
def test_the_log_alone_gives_the_same_session(script: list[object]) -> None:  # S2, S3
    log = Log()
    for step in script:
        if isinstance(step, str):
            log.prompt(step)
        else:
            log.says(step)
    again = log.replayed()
    for name in ("seq", "turns", "running", "requests", "status", "queued", "cwd"):
        assert getattr(again, name) == getattr(log.session, name)
    assert [event.seq for event in log.events] == list(range(1, len(log.events) + 1))


def _read(events: list[Event]) -> list[tuple[str, object]]:
    """What a reader sees in the end: users, whole replies, what still streams, in order of their numbers."""
    seen: list[tuple[str, object]] = []
    streams: dict[tuple[str, object], str] = {}
    for event in events:
        payload = payload_of(event)
        match payload:
            case MessageDelta():
                key = ("delta", (payload.turn, payload.part))
                streams[key] = streams.get(key, "") + payload.text
            case MessageComplete():
                streams.pop(("delta", (payload.turn, payload.part)), None)
                seen.append(("whole", payload))
            case UserMessage() | RequestOpen() | RequestClosed() | TurnComplete():
                seen.append(("said", payload))
            case _:
                pass
    open_streams: list[tuple[str, object]] = [("streams", sorted(streams.items(), key=str))]
    return seen + open_streams


@given(steps)
def test_a_shortened_log_reads_the_same(script: list[object]) -> None:  # S4
    log = Log()
    for step in script:
        if isinstance(step, str):
            log.prompt(step)
        else:
            log.says(step)
    short = compact(log.events)
    assert _read(short) == _read(log.events)
    assert [event.seq for event in short] == sorted(event.seq for event in short)


def test_a_shortened_tool_keeps_its_title_and_all_its_diffs() -> None:  # S4
    first, second = Diff(path="a", patch="+a\n"), Diff(path="b", patch="+b\n")
    told = [
        ToolUpdate(turn=1, tool_id="t", title="edit a", text="one\n", diffs=(first,), locations=(Location(path="a"),)),
        ToolUpdate(turn=1, tool_id="t", text="two\n"),
        ToolUpdate(turn=1, tool_id="t", diffs=(first, second)),
    ]
    short = [payload_of(event) for event in compact(make_event(seq, each, 1.0) for seq, each in enumerate(told, 1))]
    assert short == [
        ToolUpdate(
            turn=1,
            tool_id="t",
            title="edit a",
            text="one\ntwo\n",
            diffs=(first, second),
            locations=(Location(path="a"),),
        )
    ]
    large = [
        ToolUpdate(turn=1, tool_id="t", diffs=(Diff(path=str(n), patch="+" * TEXT_MAX),), text="x") for n in range(2)
    ]
    kept = [payload_of(event) for event in compact(make_event(seq, each, 1.0) for seq, each in enumerate(large, 1))]
    assert kept == large  # as one they might not fit a frame


def test_a_snapshot_is_bounded_and_says_what_is_missing() -> None:  # S4
    log = Log()
    for n in range(50):
        log.prompt(f"prompt {n}")
        log.says(Said("x" * 100), Finished(status="complete"))
    tail = LogTail(events=20)
    for event in log.events:
        tail.apply(event)
    assert tail.truncated
    assert [event.seq for event in tail][-1] == log.session.seq
    assert len(list(tail)) == 20
    small = LogTail(size=1000)
    for event in log.events:
        small.apply(event)
    assert sum(len(bytes(event.payload)) for event in small) <= 1000
