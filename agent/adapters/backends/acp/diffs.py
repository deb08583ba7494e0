"""Changes of files as agents tell them (the old text and the new one), as unified patches."""

from __future__ import annotations

import difflib

from agent.protocol.events import Diff
from agent.protocol.excerpts import shortened_diff

CHARACTERS_MAX = 262_144
"""Of old and new text together that are compared; difflib's time grows with the square of the lines."""
LINES_MAX = 4_000
"""Of old and new text together that are compared, after what they begin and end with alike."""
PATCH_MAX = 65_536
"""Characters of a patch."""
CONTEXT = 3


def diff_of(path: str, old: str | None, new: str) -> Diff:
    """The change of a file as a patch without the two lines of file names. `old` None: the file is new.

    What is too large to compare is shown as replaced as a whole; a patch that is too long says how much is left out.
    """
    before, after = _lines(old or ""), _lines(new)
    head = _alike(before, after)
    tail = _alike(before[head:][::-1], after[head:][::-1])
    skipped = max(0, head - CONTEXT)  # compared only from shortly before the first difference
    kept = max(0, tail - CONTEXT)
    old_part, new_part = before[skipped : len(before) - kept], after[skipped : len(after) - kept]
    size = len(old_part) + len(new_part)
    if size > LINES_MAX or sum(map(len, old_part)) + sum(map(len, new_part)) > CHARACTERS_MAX:
        header = f"@@ -{skipped + 1},{len(old_part)} +{skipped + 1},{len(new_part)} @@\n"
        lines = [header, *(f"-{line}\n" for line in old_part), *(f"+{line}\n" for line in new_part)]
    else:
        patch = difflib.unified_diff(old_part, new_part, n=CONTEXT, lineterm="")
        lines = [_moved(line, skipped) + "\n" for line in list(patch)[2:]]
    return shortened_diff(Diff(path=path, patch="".join(lines)), PATCH_MAX)


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def _alike(one: list[str], other: list[str]) -> int:
    count = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def _moved(line: str, by: int) -> str:
    """A hunk's header as it is in the whole file."""
    if not by or not line.startswith("@@ -"):
        return line
    old, _, new = line[4:].partition(" @@")[0].partition(" +")
    return f"@@ -{_shifted(old, by)} +{_shifted(new, by)} @@"


def _shifted(span: str, by: int) -> str:
    start, comma, count = span.partition(",")
    return f"{int(start) + by}{comma}{count}"
