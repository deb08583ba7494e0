"""The control sequences in what a program writes: where they begin and end, in text that comes in pieces (T10).

One grammar for whoever cleans or reads output. What may still become a sequence is held back, and no longer than that:
what cannot become one is text, without its escape. So no stray escape hides what was said after it, and nothing that a
terminal obeys is left in the text. Source: ECMA-48 §5.3 to §5.6, ECMA-35 §13, "XTerm Control Sequences".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

ARGUMENTS_MAX = 16_384
"""Characters of the parameters of a control sequence: digits and signs."""
STRING_MAX = 4096
"""Characters of a control string, such as a title or a link.

What is longer is text, as is what a control character other than a tab breaks (a shell's title is the command line): a
program must not be able to be silent by saying much.
"""

_CSI = rf"\[(?P<arguments>[0-?]{{0,{ARGUMENTS_MAX}}}+)[ -/]{{0,4}}+"
_STRING = rf"[\]PX^_][^\x00-\x08\x0a-\x1f\x7f-\x9f]{{0,{STRING_MAX}}}+"  # OSC, DCS, SOS, PM, APC
_CHARACTER_SET = r"[()*+./-][%\"&]?+"
SEQUENCE = (
    rf"\x1b(?:{_CSI}(?P<final>[@-~])"
    rf"|{_STRING}(?:\x07|\x1b\\)"
    rf"|{_CHARACTER_SET}[0-9<=>?@A-Z`f]"
    r"|\#[34568]|%[@G8]|\ [FGLMN]"
    r"|[78=>cDEHMNOZ\\])"
)
"""A whole sequence, as a regular expression; of a control sequence (CSI) it has `arguments` and `final` as groups.

No alternative looks beyond the next escape: each character is read once, whatever a program writes.
"""
_WHOLE = re.compile(SEQUENCE)
_BEGUN = re.compile(rf"\x1b(?:{_CSI}|{_STRING}\x1b?|{_CHARACTER_SET}|[#%\ ])?\Z")


def without_sequences(text: str) -> str:
    """What a whole text says beside its control sequences."""
    reader = ControlSequences()
    return "".join(part for part in reader.feed(text) if isinstance(part, str)) + reader.end()


def begun_at(text: str) -> int:
    """Where what may still become a sequence begins, at the end of a text; the text's length, if there is nothing."""
    last = text.rfind("\x1b")
    if last < 0:
        return len(text)
    if last == len(text) - 1:  # the end of a string's end, perhaps
        before = text.rfind("\x1b", 0, last)
        if before >= 0 and _BEGUN.match(text, before):
            return before
    return last if _BEGUN.match(text, last) else len(text)


class ControlSequences:
    """Parts the text of one program into what it says and its control sequences."""

    def __init__(self) -> None:
        self._held = ""  # the beginning of what may become a sequence

    def feed(self, text: str) -> Iterator[str | re.Match[str]]:
        """Take more text, and give its parts in order: text without escapes, and sequences.

        A control sequence (CSI) has its `arguments` and its `final` character as groups.
        """
        text, self._held = self._held + text, ""
        done = 0
        while (escape := text.find("\x1b", done)) >= 0:
            if escape > done:
                yield text[done:escape]
            found = _WHOLE.match(text, escape)
            if found is not None:
                yield found
                done = found.end()
            elif _BEGUN.match(text, escape):
                self._held = text[escape:]
                return
            else:
                done = escape + 1
        if done < len(text):
            yield text[done:]

    def end(self) -> str:
        """Give what was held back, without its escapes: nothing comes after it that could complete it."""
        held, self._held = self._held, ""
        return held.replace("\x1b", "")
