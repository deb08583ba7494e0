"""A unified diff as the two texts that editors compare."""

from __future__ import annotations


def sides(patch: str) -> tuple[str | None, str]:
    """What the hunks of a diff had before and have now; None before, for a new file.

    Only the lines of the hunks: what lies between them is not in a diff.
    """
    old: list[str] = []
    new: list[str] = []
    created = False
    for row in patch.splitlines():
        mark, text = row[:1], row[1:]
        if row.startswith("@@"):
            created = created or row.startswith("@@ -0,0 ")
        elif mark == "-":
            old.append(text)
        elif mark == "+":
            new.append(text)
        elif mark in {" ", ""}:  # some writers cut the space of an empty line
            old.append(text)
            new.append(text)
    return (None if created else _joined(old)), _joined(new)


def _joined(rows: list[str]) -> str:
    return "".join(f"{row}\n" for row in rows)
