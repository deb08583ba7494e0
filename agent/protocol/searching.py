"""Full-text search: what of an event is searched, what a person's words mean, and the excerpt that shows a hit.

Words are what lies between blanks and punctuation, in any case and with or without accents. A language without spaces
has no such words: each of its characters counts as one, and several in a row as a phrase, so that any part of a
sentence is found. Source: docs/decisions/0032-full-text-search.md.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from msgspec import Struct

from agent.protocol.control_sequences import without_sequences
from agent.protocol.events import (
    Event,
    MessageComplete,
    RequestClosed,
    RequestOpen,
    SessionInfo,
    ToolComplete,
    ToolStart,
    UserMessage,
    payload_of,
)
from agent.protocol.model import SessionId

TERMS_MAX = 16
"""Words or phrases of one query; what is beyond is left out."""
TOOL_MAX = 8192
"""Characters of the input or output of a tool that are searched: half of them at its head, half at its tail."""
EXCERPT_MAX = 160
"""Characters of an excerpt."""
BEFORE = 48
"""Characters of an excerpt before its first hit."""

SEARCHED = frozenset(
    {
        "message.user",
        "message.complete",
        "tool.start",
        "tool.complete",
        "request.open",
        "request.closed",
        "session.info",
    }
)
"""Types of events that hold text as a whole; deltas only add to one of these."""

# Scripts that are written without spaces: Thai to Tibetan, Myanmar, Khmer, all of Chinese, Japanese and Korean. The
# ranges are written out, so that no other version of Python tells words apart otherwise than the index has them.
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\ua4cf\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc"
    "\U00020000-\U0003ffff]"
)
_TERM = re.compile(r'"([^"]*)(?:"(\*?)|$)|([^\s"]+)')
_WORD = re.compile(r"[^\W_]+")


class Term(Struct, frozen=True):
    """One word or phrase of a query. All of them must be in one event."""

    text: str
    prefix: bool = False  # its last word is only the beginning of one


class Match(Struct, frozen=True):
    """An event that has all the words of a query."""

    session: SessionId
    event: Event


class Matches(Struct, frozen=True):
    """What a search has found, newest first."""

    found: Sequence[Match] = ()
    more: bool = False  # than were asked for
    unread: bool = False  # there are transcripts that are not indexed yet


class HitText(Struct, frozen=True):
    """The part of a text around a hit, on one line, with the places (from, to) of what was found in it."""

    text: str
    marks: tuple[tuple[int, int], ...] = ()


def terms_of(query: str) -> tuple[Term, ...]:
    """The words of a query, `"phrases"` and beginnings (`wor*`). Whatever is typed is a query, and no error.

    Empty, if there is no letter and no digit in it.
    """
    terms = []
    for found in _TERM.finditer(unicodedata.normalize("NFC", query.replace("\0", " "))):
        phrase, star, word = found.groups()
        text = phrase if word is None else word.rstrip("*")
        if any(character.isalnum() for character in text):
            terms.append(Term(text, prefix=star == "*" if word is None else word.endswith("*")))
    return tuple(terms[:TERMS_MAX])


def spaced(text: str) -> str:
    """Text in the form in which it is indexed and looked up: without accents, each character of some scripts apart."""
    text = text.replace("\0", " ")
    return text if text.isascii() else _UNSPACED.sub(r" \g<0> ", _plain(unicodedata.normalize("NFC", text)))


def searchable(event: Event) -> str:
    """What of an event is searched; empty, if there is nothing. Raises: BadFrame, for a damaged event."""
    parts: tuple[str, ...] = ()
    match payload_of(event) if event.type in SEARCHED else None:
        case UserMessage(text=text) | MessageComplete(text=text):
            parts = (text,)
        case ToolStart() as tool:
            parts = (tool.title, _ends(tool.input))
        case ToolComplete() as tool:
            parts = (_ends(tool.output), *(diff.path for diff in tool.diffs))
        case RequestOpen() as request:
            parts = (request.prompt, _ends(request.detail))
        case RequestClosed(answer=str() as text) | SessionInfo(title=str() as text):
            parts = (text,)
        case _:
            pass
    return "\n".join(part if "\x1b" not in part else without_sequences(part) for part in parts if part)


def _ends(text: str) -> str:
    # What went wrong stands at the end of what a tool says.
    return text if len(text) <= TOOL_MAX else f"{text[: TOOL_MAX // 2]}\n…\n{text[-TOOL_MAX // 2 :]}"


def excerpt(text: str, terms: Iterable[Term]) -> HitText:
    """The part of a text around the first of some terms, with all of them marked."""
    text = " ".join(unicodedata.normalize("NFC", text).split())
    wanted = _pattern(terms)
    first = wanted.search(text)
    if first is None and not text.isascii():  # with an accent more or less
        text, shown = _plain(text), text
        first = wanted.search(text)
    else:
        shown = text
    start = 0 if first is None or first.start() <= BEFORE else shown.rfind(" ", 0, first.start() - BEFORE + 1) + 1
    if first is not None and first.start() - start > 2 * BEFORE:  # a script without spaces, or a very long word
        start = first.start() - BEFORE
    end = min(len(shown), start + EXCERPT_MAX)
    head, tail = "…" if start else "", "…" if end < len(shown) else ""
    marks = tuple(
        (found.start() - start + len(head), min(found.end(), end) - start + len(head))
        for found in wanted.finditer(text, start, end)
        if found.end() > found.start()
    )
    return HitText(f"{head}{shown[start:end]}{tail}", marks)


def _pattern(terms: Iterable[Term]) -> re.Pattern[str]:
    # As the index tells words apart: a term is found where its words follow each other, whatever is between them.
    shapes = [_shape(term) for term in terms]
    return re.compile("|".join(shape for shape in shapes if shape) or "(?!)", re.IGNORECASE)


def _shape(term: Term) -> str:
    words = _WORD.findall(spaced(term.text))
    if not words:
        return ""
    begins = "" if _UNSPACED.match(words[0]) else r"(?<![^\W_])"
    ends = "" if term.prefix or _UNSPACED.match(words[-1]) else r"(?![^\W_])"
    return begins + r"[\W_]*".join(re.escape(word) for word in words) + ends


class _Accents(dict[int, str | int]):
    # Characters without their accents, one for one: a place in the result is the same place in the text.
    def __missing__(self, code: int) -> str | int:
        apart = unicodedata.normalize("NFD", chr(code))
        accents = "" if _UNSPACED.match(chr(code)) else apart[1:]  # ga is another syllable than ka
        self[code] = apart[0] if accents and all(unicodedata.combining(each) for each in accents) else code
        return self[code]


_accents = _Accents()


def _plain(text: str) -> str:
    return text if text.isascii() else text.translate(_accents)
