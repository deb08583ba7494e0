"""sessions.rules.epochs: who may go on in a log, and who starts over (S15)."""

from __future__ import annotations

from agent.sessions.rules.epochs import KEPT, Epochs


def log(*begun: int) -> Epochs:
    """Epochs e1 from event 1, e2, e3, … from those."""
    epochs = Epochs("e1")
    for number, seq in enumerate(begun, 2):
        epochs.begin(f"e{number}", seq)
    return epochs


def test_a_client_of_an_earlier_epoch_goes_on_as_far_as_that_epoch_went() -> None:  # S4, S15
    epochs = log(101, 151)
    assert epochs.current == "e3"
    assert [epochs.includes("e1", seq) for seq in (0, 100, 101)] == [True, True, False]
    assert [epochs.includes("e2", seq) for seq in (80, 150, 151)] == [True, True, False]
    assert epochs.includes("e3", 10_000)  # how long the log is, is for others to know


def test_an_epoch_that_the_log_never_had_is_another_log() -> None:  # S15
    assert not log(101).includes("", 0)
    assert not log(101).includes("e9", 1)


def test_the_log_of_an_older_copy_does_not_take_a_client_of_what_came_after_the_copy() -> None:  # S15
    lost = log(101)  # of this one a client has seen event 150, in its epoch e2
    copy = log()  # made before e2 began; then it grew
    copy.begin("another", 101)
    assert lost.includes("e2", 150)
    assert not copy.includes("e2", 150)
    older = log(101)  # made in e2, at event 120; then it grew
    older.begin("another", 121)
    assert (older.includes("e2", 120), older.includes("e2", 150)) == (True, False)


def test_epochs_are_bounded() -> None:
    epochs = Epochs("e0")
    for number in range(1, KEPT + 10):
        epochs.begin(f"e{number}", number * 2)
    assert not epochs.includes("e0", 0)
    assert epochs.includes(f"e{KEPT}", 5)
