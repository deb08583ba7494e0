"""Text that came from the network, made fit for a terminal: cleaned, measured, shortened (T10)."""

from __future__ import annotations

import re
from typing import Literal
from unicodedata import category

from agent.protocol.characters import BLANK, EMOJI_STYLE, JOINERS, hidden_in_text, unseen
from agent.protocol.colours import SGR
from agent.protocol.control_sequences import ControlSequences
from agent.protocol.terminal_cells import columns as columns_of

Style = Literal["", "bold", "dim", "red", "green", "yellow", "cyan"]
"""How a line is painted where there are colours; never the only thing that carries a meaning."""

UNTITLED = "Untitled session"
REPLACED = "\N{REPLACEMENT CHARACTER}"
LINE_MAX = 4096
"""Characters kept of a title or a label."""
MARKS_MAX = 2
"""Combining marks kept on one character: more of them paint over the lines around."""

_LEFT_OUT = frozenset(JOINERS + EMOJI_STYLE)
_SGR = re.compile(r"\x1b\[([0-9;:]{0,256})m")
_CONCEAL = 8
_COLOURS = frozenset({38, 48, 58})
"""Parameters of SGR that take arguments: the colour of the text, of the background, of the underline."""
_ARGUMENTS = {"2": 3, "5": 1}
"""How many numbers follow a kind of colour: red, green and blue; or a place in the palette."""
_RETURN = re.compile("\r+\n?")
_PAINTED = re.compile(f"({SGR.pattern})")
_COLOURS_AT_END = re.compile(r"(?:\x1b\[[0-9;:]*m)+\Z")


def clean(text: str, limit: int = 512) -> str:
    """Text as one line without anything that moves the cursor, colours, hides or turns the text around.

    Control, bidirectional and invisible characters become U+FFFD, white space becomes a space.
    """
    text = text[:limit]
    if text.isascii() and text.isprintable():
        return text
    kept: list[str] = []
    marks = 0
    for character in text:
        kind = category(character)
        marks = marks + 1 if kind in {"Mn", "Me"} else 0
        if character.isspace() or character == BLANK:
            kept.append(" ")
        elif kind in {"Cc", "Cf", "Cs", "Zl", "Zp"} or unseen.match(character):
            kept.append("" if character in _LEFT_OUT else REPLACED)
        elif marks <= MARKS_MAX:
            kept.append(character)
    return "".join(kept)


def one_line(text: str) -> str:
    """Text of any length that is needed for a title or a label: one clean line without blanks around it."""
    return clean(text, LINE_MAX).strip()


def session_title(title: str) -> str:
    """The title of a session, cleaned, or that it has none (R7)."""
    return clean(title).strip() or UNTITLED


def plain(text: str) -> str:
    """Output of a program without what moves a cursor or colours; its lines stay."""
    whole = TerminalText(color=False)
    return whole.feed(text) + whole.end()


def width(text: str) -> int:
    """Columns that cleaned text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(columns_of(character) for character in text)


def fit(text: str, columns: int) -> str:
    """Cleaned text cut to so many columns, with an ellipsis if something was cut."""
    if width(text) <= columns:
        return text
    kept, used = [], 0
    for character in text:
        used += columns_of(character)
        if used > columns - 1:
            break
        kept.append(character)
    return "".join(kept) + "…" if columns > 0 else ""


def fit_middle(text: str, columns: int) -> str:
    """Cleaned text cut to so many columns in its middle: of a path its end says more than its beginning."""
    if width(text) <= columns:
        return text
    tail: list[str] = []
    left = max(0, columns - 1) * 2 // 3
    for character in reversed(text):
        left -= columns_of(character)
        if left < 0:
            break
        tail.insert(0, character)
    return fit(text, columns - width("".join(tail))) + "".join(tail)


def fit_painted(text: str, columns: int, *, color: bool) -> str:
    """A line that a program prints, cleaned and cut as `fit` does; its colours stay, and end with it."""
    whole = TerminalText(color=color)
    shown = whole.feed(text.expandtabs()).replace("\n", " ") + whole.end()
    left = columns if width(SGR.sub("", shown)) <= columns else columns - 1
    cut = "" if left == columns else "…"
    kept = ""
    for piece in _PAINTED.split(shown):
        if SGR.fullmatch(piece):
            kept += piece
            continue
        for character in piece:
            left -= columns_of(character)
            if left < 0:
                return f"{kept}{cut}\x1b[0m" if "\x1b" in kept else kept + cut
            kept += character
    return kept


def wrap(text: str, columns: int) -> list[str]:
    """Cleaned text in lines of at most so many columns, parted at blanks; a longer word is parted where it must be."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        joined = f"{line} {word}" if line else word
        if width(joined) <= columns:
            line = joined
            continue
        lines += [line] if line else []
        line = ""
        for character in word:
            if line and width(line) + columns_of(character) > columns:
                lines.append(line)
                line = ""
            line += character
    return [*lines, line] if line else lines


def leaves_open(shown: str, *, before: bool) -> bool:
    """Whether a line is open once cleaned output was printed; `before`: whether one was. Colours print nothing."""
    printed = _COLOURS_AT_END.sub("", shown)
    return not printed.endswith("\n") if printed else before


class TerminalText:
    """Output of a program elsewhere, on its way to our terminal: lines, tabs and perhaps colours pass, nothing else.

    Colours do not hide: "conceal" is left out. A carriage return begins a line, so that nothing is painted over. All
    that stands between control sequences is shown. Stateful, since the stream may cut a sequence anywhere.
    """

    def __init__(self, *, color: bool) -> None:
        self._color = color
        self._sequences = ControlSequences()
        self._return = ""  # perhaps half of a line's end
        self._painted = False

    def feed(self, text: str) -> str:
        """Take more of the output; what of it may be printed now."""
        shown = self._return + "".join(self._kept(part) for part in self._sequences.feed(text))
        kept = shown.rstrip("\r")
        self._return = "\r" if len(kept) < len(shown) else ""
        return _lines(kept)

    def end(self) -> str:
        """What was held back until now, and the sequence that puts the terminal right after the text."""
        rest = self._sequences.end()
        shown = _lines(self._return + rest) if rest else ""
        if self._painted:
            shown += "\x1b[0m"
        self._return, self._painted = "", False
        return shown

    def _kept(self, part: str | re.Match[str]) -> str:
        if isinstance(part, str):
            return part
        if not self._color or not _harmless(part.group()):
            return ""
        self._painted = True
        return part.group()


def _lines(text: str) -> str:
    return hidden_in_text.sub("", _RETURN.sub("\n", text))


def _harmless(sequence: str) -> bool:
    # A colour, and for sure nothing that hides. Each parameter may have sub-parameters (ISO 8613-6: `38:5:1`); in the
    # older form the arguments of a colour are the next parameters. What terminals read differently does not pass.
    found = _SGR.fullmatch(sequence)
    if found is None:
        return False
    rest = found[1].split(";")
    while rest:
        code, *arguments = rest.pop(0).split(":")
        if int(code or 0) == _CONCEAL:
            return False
        if int(code or 0) in _COLOURS and not arguments and rest:
            wanted = _ARGUMENTS.get(rest.pop(0))
            if wanted is None or len(rest) < wanted or not all(each.isdigit() for each in rest[:wanted]):
                return False
            del rest[:wanted]
    return True
