"""Where a shell is, by its marks: what each order of marks means."""

from __future__ import annotations

from agent.adapters.backends.shell.marks import ShellMark
from agent.adapters.backends.shell.states import (
    Cancel,
    EchoBegan,
    Effect,
    GiveBack,
    NotRun,
    OutputBegan,
    OutputEnded,
    PressKey,
    ShellStates,
    TurnOver,
)
from agent.adapters.backends.shell.turn import ShellTurn

PID = 42


def mark(text: str, pid: int = PID) -> ShellMark:
    """`T 1 0` as a mark."""
    kind, *fields = text.split(" ")
    return ShellMark(kind, pid, tuple(fields))


def fed(states: ShellStates, *marks: str) -> list[Effect]:
    return [effect for each in marks for effect in states.mark(mark(each))]


def is_away(states: ShellStates) -> bool:
    return states.away


def at_prompt(*, early: bool = False) -> ShellStates:
    states = ShellStates(PID, early=early)
    assert fed(states, "S", "D 0 0 /home", "A 0", "B") == []
    assert (states.state, states.directory) == ("prompt", "/home")
    return states


def test_a_prompt_is_taken_runs_and_ends() -> None:
    states, turn = at_prompt(), ShellTurn(1, "ls")
    assert states.prompt(turn) == [PressKey()]
    assert fed(states, "T 1 0", "A 0", "B", "C 1 n1") == [EchoBegan(), OutputBegan(turn)]
    assert states.state == "running"
    assert fed(states, "E", "D 1 3 /tmp", "A 3", "B") == [OutputEnded(), TurnOver(turn, 3)]
    assert (states.state, states.directory, states.waiting, states.running) == ("prompt", "/tmp", None, None)


def test_a_prompt_that_comes_before_the_shell_is_ready_is_sent_when_it_is() -> None:
    states, turn = ShellStates(PID), ShellTurn(1, "ls")
    assert states.prompt(turn) == []
    assert fed(states, "S", "D 0 0 /", "A 0") == []
    assert fed(states, "B") == [PressKey()]


def test_a_line_that_a_person_types_is_a_turn_too() -> None:
    states = at_prompt()
    [begun] = fed(states, "C 1 t6c732022c5be22")
    assert begun == OutputBegan(ShellTurn(0, 'ls "ž"'))
    assert fed(states, "D 1 0 /", "A 0", "B") == [TurnOver(ShellTurn(0, 'ls "ž"'), 0)]
    [begun] = fed(states, "C 2 tno-hex")
    assert begun == OutputBegan(ShellTurn(0, ""))


def test_nothing_is_typed_behind_a_persons_enter_until_what_it_starts_is_over() -> None:
    states, turn = at_prompt(), ShellTurn(1, "ls")
    states.typed(b"cat\r")
    assert states.prompt(turn) == []
    fed(states, "C 1 t636174")
    states.typed(b"words for cat\r")
    assert fed(states, "D 1 0 /")[-1] == TurnOver(ShellTurn(0, "cat"), 0)
    assert fed(states, "A 0", "B") == []  # the last words may be the shell's next line
    states.settling = False  # it was quiet, and nothing unread
    assert states.offer() == [PressKey()]


def test_an_enter_that_ran_nothing_holds_nothing_up() -> None:
    states = at_prompt()
    states.typed(b"\r")
    assert fed(states, "D 0 0 /", "A 0", "B") == []
    assert states.prompt(ShellTurn(1, "ls")) == [PressKey()]


def test_keys_other_than_enter_hold_nothing_up_and_half_a_line_is_given_back() -> None:
    states, turn = at_prompt(), ShellTurn(1, "ls")
    states.typed(b"half")
    assert states.prompt(turn) == [PressKey()]
    assert fed(states, "T 1 4", "C 1 n1", "D 1 0 /", "A 0") == [EchoBegan(), OutputBegan(turn), TurnOver(turn, 0)]
    assert fed(states, "B") == [GiveBack()]
    assert fed(states, "A 0", "B") == []  # once


def test_half_a_line_is_given_back_before_it_is_taken_again() -> None:
    states = at_prompt()
    states.prompt(ShellTurn(1, "ls"))
    fed(states, "T 1 4", "C 1 n1", "D 1 0 /")
    assert states.prompt(ShellTurn(2, "ls")) == []
    assert fed(states, "A 0", "B") == [GiveBack(), PressKey()]


def test_a_key_that_was_lost_is_pressed_again_and_one_of_an_interrupted_turn_is_not() -> None:
    states, turn = at_prompt(), ShellTurn(1, "ls")
    states.prompt(turn)
    assert fed(states, "D 0 130 /", "A 130", "B") == []  # a Ctrl-C of a person came first, or the key is on its way yet
    assert turn.lost
    assert states.offer_again() == [PressKey()]
    turn.interrupts = 1
    assert fed(states, "D 0 130 /", "A 130", "B") == [TurnOver(turn, 130)]


def test_a_prompt_that_is_drawn_again_means_nothing() -> None:
    states, turn = at_prompt(), ShellTurn(1, "ls")
    states.prompt(turn)
    assert fed(states, "A 0", "B", "T 1 0", "A 0", "B") == [EchoBegan()]
    assert states.waiting is turn


def test_what_was_taken_and_did_not_run_is_told() -> None:
    states, turn = at_prompt(), ShellTurn(1, "echo )")
    states.prompt(turn)
    assert fed(states, "T 1 0", "D 0 2 /", "A 2", "B") == [EchoBegan(), NotRun(turn, 2)]


def test_what_is_unfinished_is_cancelled_and_refused() -> None:
    states, turn = at_prompt(), ShellTurn(1, "if true")
    states.prompt(turn)
    began, cancel, refused = fed(states, "T 1 0", "K")
    assert (began, cancel) == (EchoBegan(), Cancel())
    assert isinstance(refused, NotRun)
    assert (refused.turn, refused.status) == (turn, None)
    assert "unfinished" in refused.reason
    assert states.prompt(ShellTurn(2, "ls")) == []  # not before the line is gone
    assert fed(states, "D 0 130 /", "A 130", "B") == [PressKey()]


def test_a_person_may_go_on_on_another_line() -> None:
    states = at_prompt()
    states.typed(b"if true\r")
    assert fed(states, "K") == []


def test_what_the_shell_refuses_is_not_run_and_why() -> None:
    for reason, words in (("syntax", "syntax"), ("unfinished", "unfinished"), ("odd;reason", "odd;reason")):
        states, turn = at_prompt(), ShellTurn(1, "echo (")
        states.prompt(turn)
        [refused] = states.mark(ShellMark("R", PID, ("1", *reason.split(";"))))
        assert isinstance(refused, NotRun)
        assert words in refused.reason
        assert states.prompt(ShellTurn(2, "ls")) == [PressKey()]


def test_a_prompt_or_the_next_command_ends_what_did_not_say_that_it_ended() -> None:
    for last, status in (("A 5", 5), ("B", None), ("C 2 t6c73", None)):
        states, turn = at_prompt(), ShellTurn(1, "PROMPT_COMMAND=")
        states.prompt(turn)
        fed(states, "T 1 0", "C 1 n1")
        assert TurnOver(turn, status) in fed(states, last)


def test_fish_is_believed_when_its_prompt_follows() -> None:
    # S14: it says that `exit` has ended, and then ends.
    states, turn = at_prompt(early=True), ShellTurn(1, "exit 3")
    states.prompt(turn)
    assert fed(states, "T 1 0", "C 1 n1", "D 1 3 /")[-1] == OutputEnded()
    assert fed(states, "A 3") == [TurnOver(turn, 3)]


def test_what_was_interrupted_and_lost_its_marks_is_over_when_the_shell_is_seen_to_wait() -> None:
    states, turn = at_prompt(), ShellTurn(1, "sleep 600")
    states.prompt(turn)
    fed(states, "T 1 0", "C 1 n1")
    turn.interrupts = 1
    assert states.seen_idle() == [TurnOver(turn, 130)]
    assert states.state == "prompt"
    unheard = ShellTurn(2, "ls", interrupts=1)
    states.prompt(unheard)
    assert states.seen_idle() == [TurnOver(unheard, 130)]
    assert states.waiting is None


def test_no_prompt_is_sent_while_an_interrupt_may_still_be_heard() -> None:
    states, turn = at_prompt(), ShellTurn(1, "ls")
    states.settling = True
    assert states.prompt(turn) == []
    assert fed(states, "D 1 130 /", "A 130", "B") == []
    states.settling = False
    assert states.offer() == [PressKey()]


def test_a_text_that_was_taken_and_never_ran_is_cleared_from_the_line() -> None:
    states, turn = at_prompt(), ShellTurn(1, "ls", interrupts=1)
    states.prompt(turn)
    fed(states, "T 1 4")
    assert states.seen_idle() == [TurnOver(turn, 130), Cancel()]
    assert fed(states, "A 130", "B") == [GiveBack()]


def test_what_a_person_types_on_behind_a_half_line_that_is_put_away_belongs_behind_it() -> None:
    states, turn = at_prompt(), ShellTurn(1, "ls")
    states.typed(b"echo ha")
    assert not is_away(states)
    states.prompt(turn)
    assert is_away(states)  # the shell may take the prompt, and the half line with it, at any moment
    fed(states, "T 1 7", "A 0", "B", "C 1 n1")
    assert is_away(states)
    assert fed(states, "D 1 0 /", "A 0", "B") == [TurnOver(turn, 0), GiveBack()]
    assert not is_away(states)


def test_keys_for_a_program_are_its_own_when_nothing_is_put_away() -> None:
    states = at_prompt()
    states.prompt(ShellTurn(1, "cat"))
    fed(states, "T 1 0", "C 1 n1")
    assert not is_away(states)
    fed(states, "D 1 0 /", "A 0", "B")
    states.typed(b"cat\r")
    fed(states, "C 2 t636174")
    assert not is_away(states)


def test_a_line_that_was_entered_while_a_command_ran_goes_before_a_prompt() -> None:
    states, turn = at_prompt(), ShellTurn(1, "ls")
    fed(states, "C 1 t73")
    states.typed(b"date\r")
    assert states.prompt(turn) == []
    assert fed(states, "D 1 0 /", "A 0", "B") == [TurnOver(ShellTurn(0, "s"), 0)]  # the shell reads that line first
    assert fed(states, "C 2 t64617465", "D 2 0 /", "A 0") == [
        OutputBegan(ShellTurn(0, "date")),
        TurnOver(ShellTurn(0, "date"), 0),
    ]
    states.settling = False  # it was quiet, and nothing unread
    assert fed(states, "B") == [PressKey()]


def test_a_shell_within_that_begins_to_tell_gets_the_prompts_until_the_one_around_it_tells_again() -> None:
    states, outer, inner = at_prompt(), ShellTurn(1, "bash"), ShellTurn(2, "exit 3")
    states.prompt(outer)
    fed(states, "T 1 0", "C 1 n1")
    assert states.mark(mark("D 0 0 /in", pid=7)) == [TurnOver(outer, None)]
    assert states.mark(mark("B", pid=7)) == []
    assert (states.pid, states.around, states.state) == (7, [PID], "prompt")
    assert states.prompt(inner) == [PressKey()]
    for each in ("T 2 0", "C 1 n2"):
        states.mark(mark(each, pid=7))
    assert fed(states, "D 1 3 /") == [TurnOver(inner, 3)]
    assert (states.pid, states.around) == (PID, [])


def test_a_mark_of_another_process_at_the_prompt_says_nothing() -> None:
    states = at_prompt()
    assert states.mark(mark("D 9 1 /forged", pid=7)) == []
    assert (states.pid, states.directory) == (PID, "/home")
