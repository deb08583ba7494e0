"""sessions.rules.lives: who may go on in a log, and who starts over (S15)."""

from __future__ import annotations

from agent.sessions.rules.lives import KEPT, Lives


def log(*begun: int) -> Lives:
    """Lives e1 from event 1, e2, e3, … from those."""
    lives = Lives("e1")
    for number, seq in enumerate(begun, 2):
        lives.begin(f"e{number}", seq)
    return lives


def test_a_client_of_an_earlier_life_goes_on_as_far_as_that_life_went() -> None:  # S4, S15
    lives = log(101, 151)
    assert lives.epoch == "e3"
    assert [lives.include("e1", seq) for seq in (0, 100, 101)] == [True, True, False]
    assert [lives.include("e2", seq) for seq in (80, 150, 151)] == [True, True, False]
    assert lives.include("e3", 10_000)  # how long the log is, is for others to know


def test_a_life_that_the_log_never_had_is_another_log() -> None:  # S15
    assert not log(101).include("", 0)
    assert not log(101).include("e9", 1)


def test_the_log_of_an_older_copy_does_not_take_a_client_of_what_came_after_the_copy() -> None:  # S15
    lost = log(101)  # of this one a client has seen event 150, in its life e2
    copy = log()  # made before e2 began; then it grew
    copy.begin("another", 101)
    assert lost.include("e2", 150)
    assert not copy.include("e2", 150)
    older = log(101)  # made in e2, at event 120; then it grew
    older.begin("another", 121)
    assert (older.include("e2", 120), older.include("e2", 150)) == (True, False)


def test_lives_are_bounded() -> None:
    lives = Lives("e0")
    for number in range(1, KEPT + 10):
        lives.begin(f"e{number}", number * 2)
    assert not lives.include("e0", 0)
    assert lives.include(f"e{KEPT}", 5)
