"""What a session is called without a title, and what lists tell of its question: sessions.rules.state."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.ports import Asked, Described, Finished
from agent.protocol.events import SessionInfo
from agent.protocol.model import DeviceId, Sender, SessionId
from agent.protocol.names import clean, first_words
from agent.sessions.log import shortened
from agent.sessions.rules.effects import Decision
from agent.sessions.rules.mapping import payloads_of
from agent.sessions.rules.state import DERIVED_MAX, QUESTION_MAX, SessionMachine

ME = Sender(device=DeviceId("laptop"), name="laptop")


def machine(*, derived_title: str = "") -> SessionMachine:
    return SessionMachine(SessionId("s" * 16), derived_title=derived_title)


def take(state: SessionMachine, decision: Decision) -> None:
    for event in state.number(decision.payloads, 1_800_000_000.0):
        state.apply(event)


def prompt(state: SessionMachine, text: str) -> None:
    take(state, state.prompt(text[:40], text, ME)[0])


def test_a_session_without_a_title_is_called_by_its_first_prompt() -> None:  # R7
    state = machine()
    assert state.called == ""
    prompt(state, " \n\x1b[2J ")
    assert state.called == "[2J"
    state = machine()
    prompt(state, "fix the parser,\n\tplease: " + "it reads nothing " * 20)
    assert state.called == "fix the parser, please: it reads nothing it reads nothing…"
    assert len(state.called) <= DERIVED_MAX
    take(state, payloads_of(state, Finished(status="complete")))
    prompt(state, "and another one")
    assert state.called.startswith("fix the parser")


def test_a_prompt_that_was_taken_back_calls_nothing() -> None:  # S12
    state = machine()
    take(state, Decision((SessionInfo(status="starting"),)))
    prompt(state, "my secret plan")
    assert state.called == ""  # it waits
    decision, _ = state.withdraw("my secret plan", ME, owner=True)
    take(state, decision)
    prompt(state, "the other plan")
    take(state, state.ready())
    assert state.called == "the other plan"


def test_a_title_wins_whoever_gives_it_and_whenever() -> None:
    state = machine(derived_title="vim")
    prompt(state, "hello")
    assert state.called == "vim"  # the program before what is typed into it
    take(state, payloads_of(state, Described(title="the agent's")))
    assert state.called == "the agent's"
    take(state, Decision((SessionInfo(title="mine", named=True),)))
    assert state.called == "mine"
    take(state, Decision((SessionInfo(title="", named=False),)))
    assert state.called == "vim"


def test_the_first_words_of_the_oldest_question_are_told_and_no_answer_is() -> None:
    state = machine()
    prompt(state, "go")
    assert state.question == ""
    take(state, payloads_of(state, Asked(request_id="a", kind="secret", prompt="[sudo] password\nfor\x1b[2J ada:")))
    take(state, payloads_of(state, Asked(request_id="b", kind="line", prompt="why? " * 200)))
    assert state.question == "[sudo] password for[2J ada:"
    decision, _ = state.answer("a", "hunter2", ME)
    take(state, decision)
    assert state.question.endswith("why?…")
    assert len(state.question) <= QUESTION_MAX
    assert "hunter2" not in state.question + state.called
    take(state, payloads_of(state, Finished(status="complete")))
    assert state.question == ""


@given(st.text(), st.integers(2, 80))
def test_first_words_are_one_clean_line_that_fits(text: str, limit: int) -> None:  # T10, T11
    words = first_words(text, limit)
    assert len(words) <= limit
    assert clean(words, limit) == words
    whole = " ".join(clean(text, 4 * limit).split())
    assert words == whole or (words.endswith("…") and whole.startswith(words[:-1]))


def test_home_is_told_as_a_shell_tells_it() -> None:
    for path, shown in (
        ("/home/ada", "~"),
        ("/home/ada/src/x", "~/src/x"),
        ("/home/adam/src", "/home/adam/src"),
        ("/srv", "/srv"),
        ("", ""),
    ):
        assert shortened(path, "/home/ada") == shown
    assert shortened("/srv/x", "") == "/srv/x"
