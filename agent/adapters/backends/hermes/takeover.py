"""Before a session is taken over from the window where somebody uses it, whoever prompts it is asked. Pure."""

from __future__ import annotations

from agent.ports import TURN_OVER, Asked, BackendEvent, Described, Withdrew
from agent.protocol.events import Answer, Choice

TAKE, LEAVE = "take", "leave"
OPEN_ELSEWHERE = (
    "This session is open in a window of Hermes on its own machine. Taking it over stops that window from updating."
)
LEFT = "left to the window of Hermes where it is open"
TAKEN_NOTE = "taken over: the window of Hermes where this session was open shows nothing of it any more"
TAKEN_NOTICE = "a session was taken over from its window of Hermes on this machine, which no longer updates"
BACK_NOTE = "it was prompted at its own window of Hermes again, which has it now"
ASKS_THERE = "It waits for an answer at its own window of Hermes; only there it can be given."


class Takeover:
    """The questions about taking a session over, of which Hermes knows nothing."""

    def __init__(self, prefix: str) -> None:
        """`prefix` makes ids that nobody else has."""
        self._prefix, self._count = prefix, 0
        self._asked = self._elsewhere = ""
        self.decided: bool | None = None  # whether it is to be taken; None: not known
        self.stopped = False  # what it was to be taken for is not wanted any more

    def ask(self) -> list[BackendEvent]:
        """Ask whether to take the session over, unless that is asked already."""
        if self._asked:
            return []
        self._asked = self._id()
        choices = (
            Choice(id=TAKE, name="Take it over", kind="allow_once"),
            Choice(id=LEAVE, name="Leave it there", kind="reject_once"),
        )
        return [Asked(request_id=self._asked, kind="choices", prompt=OPEN_ELSEWHERE, choices=choices)]

    def elsewhere(self, *, waits: bool) -> list[BackendEvent]:
        """Tell that the session needs input, though not from here (S10); `waits`: whether it does."""
        if waits and not self._elsewhere:
            self._elsewhere = self._id()
            choices = (Choice(id="seen", name="OK"),)
            return [Asked(request_id=self._elsewhere, kind="choices", prompt=ASKS_THERE, choices=choices)]
        if not waits and self._elsewhere:
            gone, self._elsewhere = self._elsewhere, ""
            return [Withdrew(gone, "it was answered there, or is over")]
        return []

    def answered(self, request_id: str, answer: Answer) -> bool:
        """Take an answer, and tell whether it was one to these questions."""
        if request_id == self._asked and request_id:
            self._asked, self.decided = "", answer == TAKE
            return True
        return bool(request_id) and request_id == self._elsewhere

    def stop(self) -> None:
        """Note that the prompt is not wanted any more."""
        self.stopped = True

    def over(self) -> list[BackendEvent]:
        """Begin anew: the prompt was handed over, or never will be."""
        asked = self._asked
        reason = TURN_OVER["interrupted" if self.stopped else "error"]
        self._asked = ""
        self.decided = None
        self.stopped = False
        return [Withdrew(asked, reason)] if asked else []

    def taken(self) -> Described:
        """What is said to those who watch here, and to the owner over there."""
        return Described(note=TAKEN_NOTE, notice=TAKEN_NOTICE)

    def _id(self) -> str:
        self._count += 1
        return f"take-{self._prefix}-{self._count}"
