"""The history of a conversation as the gateway keeps it, and what of it the session's log does not have. Pure.

The log has texts as they were streamed, the gateway as they were stored: with other white space, the parts of one reply
apart. So they are compared without white space, and only what is missing is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from agent.adapters.backends.hermes.wire import HistoryEntry
from agent.ports import Exchange

GOES_ON = "(the turn before goes on)"
"""The prompt of a turn that holds what was missed of the one before it, as after a restart of this service."""


class PastTool(Struct, frozen=True):
    """A tool that was used: its result is not kept by the gateway."""

    name: str
    context: str


class PastTurn(Struct, frozen=True):
    """A turn of the past: one prompt and what followed."""

    prompt: str
    parts: tuple[str | PastTool, ...] = ()

    @property
    def reply(self) -> str:
        """The text of the reply, its parts joined as they are streamed."""
        return "\n\n".join(part for part in self.parts if isinstance(part, str))


class Unseen(Struct, frozen=True):
    """The part of a history that the log does not have: the rest of its last reply, then whole turns.

    `last`: the log's last turn as the gateway has it; None, if both have nothing in common.
    """

    rest: str = ""
    turns: tuple[PastTurn, ...] = ()
    last: PastTurn | None = None


def turns_of(messages: Iterable[HistoryEntry]) -> list[PastTurn]:
    """The turns of a conversation, oldest first; what stands before the first prompt is left out."""
    turns: list[PastTurn] = []
    for message in messages:
        text = message.text or ""
        if message.role == "user":
            turns.append(PastTurn(text))
        elif not turns:
            continue
        elif message.role == "assistant" and text.strip():
            turns[-1] = PastTurn(turns[-1].prompt, (*turns[-1].parts, text))
        elif message.role == "tool":
            tool = PastTool(message.name or "tool", message.context or "")
            turns[-1] = PastTurn(turns[-1].prompt, (*turns[-1].parts, tool))
    return turns


def logged(exchanges: Iterable[Exchange]) -> list[Exchange]:
    """The turns of the log, those that went on joined with what they went on from."""
    joined: list[Exchange] = []
    for each in exchanges:
        if each.prompt == GOES_ON and joined:
            joined[-1] = Exchange(joined[-1].prompt, joined[-1].reply + each.reply)
        else:
            joined.append(each)
    return joined


def goes_beyond(turns: Sequence[PastTurn], log: Iterable[Exchange]) -> bool:
    """Whether the newest turn was prompted elsewhere: the log knows no such prompt.

    Older ones do not count: one that was prompted elsewhere while a prompt of ours waited is left out of the log.
    """
    return bool(turns) and _bare(turns[-1].prompt) not in {_bare(each.prompt) for each in log}


def unseen(log: Sequence[Exchange], turns: Sequence[PastTurn]) -> Unseen:
    """The part of the conversation that the log does not have.

    The place where both agree longest counts, the newest such. If there is none (the conversation was condensed),
    nothing is taken for new: better a gap than everything twice.
    """
    if not log:
        return Unseen(turns=tuple(turns))
    best, place = 0, -1
    for at in range(len(turns)):
        length = _agree(log, turns[: at + 1])
        if length and length >= best:
            best, place = length, at
    if place < 0:
        return Unseen()
    return Unseen(missing(log[-1].reply, turns[place].reply), tuple(turns[place + 1 :]), last=turns[place])


def missing(said: str, whole: str) -> str:
    """The rest of `whole` after `said`, white space apart; nothing if it does not begin with that."""
    at = 0
    for letter in said:
        if letter.isspace():
            continue
        while at < len(whole) and whole[at].isspace():
            at += 1
        if at == len(whole) or whole[at] != letter:
            return ""
        at += 1
    rest = whole[at:]
    if not rest.strip():
        return ""
    return rest.lstrip() if said and said[-1].isspace() else rest


def _agree(log: Sequence[Exchange], turns: Sequence[PastTurn]) -> int:
    # How many turns both have in common up to their ends. The last one of the log may have been cut short.
    count = 0
    for known, turn in zip(reversed(log), reversed(turns), strict=False):
        if _bare(known.prompt) != _bare(turn.prompt):
            break
        mine, theirs = _bare(known.reply), _bare(turn.reply)
        if count == 0 and not theirs.startswith(mine) and not (theirs and mine.startswith(theirs)):
            break
        count += 1
    return count


def _bare(text: str) -> str:
    return "".join(text.split())
