"""Characters that a reader does not see, or that turn around what a reader sees: one table for every place (T10).

Source: Unicode's `Default_Ignorable_Code_Point` (DerivedCoreProperties), and beside it the controls, the line and
paragraph separators and the annotation marks. Hangul fillers, tags, variation selectors and bidirectional controls are
all among them.
"""

from __future__ import annotations

import re

BLANK = "\u2800"
"""A Braille sign without dots: of a drawing it is a part, of a name it is a space."""
SEPARATORS = "\u2028\u2029"
JOINERS = "\u200c\u200d"
"""Hold emoji and Arabic letters together."""
EMOJI_STYLE = "\ufe0e\ufe0f"
"""Say whether a sign is shown as text or as a picture."""
UNSEEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Take no room and draw nothing, or are drawn as a blank: what they spell is read by programs and by nobody else."""

unseen = re.compile(f"[{UNSEEN}]")
unseen_but_joiners = re.compile(f"(?![{JOINERS}])[{UNSEEN}]")
idle_joiner = re.compile(
    f"(?<![^\\s{JOINERS}])[{JOINERS}]|[{JOINERS}](?![^\\s{JOINERS}])|(?<=[ -~])[{JOINERS}](?=[ -~])"
)
"""One that holds nothing together: at an end, beside a blank or another one, between two characters of ASCII."""
unsafe = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{SEPARATORS}{UNSEEN}]")
"""What a line that is logged or printed as JSON must not hold; lines and tabs are its frame."""
hidden_in_text = re.compile(
    f"(?![{JOINERS}{EMOJI_STYLE}])[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f{SEPARATORS}{UNSEEN}]"
)
"""What is left out of the text of a reply. Joiners and emoji styles belong to what people write."""


def escaped(character: str) -> str:
    r"""One character as `\uXXXX`, as JSON and Python read it; beyond U+FFFF two of them, as JSON wants it."""
    return "".join(f"\\u{unit:04x}" for unit in _units(ord(character)))


def _units(code: int) -> tuple[int, ...]:
    if code < 0x10000:
        return (code,)
    return 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + ((code - 0x10000) & 0x3FF)
