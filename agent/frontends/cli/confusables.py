"""Device names that a person could take for another one's (T10). Small on purpose: it compares what is listed.

A name proves nothing, so a stranger may call itself as a paired device does, or nearly. Names are reduced to a
skeleton of what they look like; the letters are those of other alphabets that are drawn like Latin ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unicodedata import category, name, normalize

from agent.client.terminal_text import clean

Row = dict[str, Any]
SAME = "⚠ looks like another name"
MIXED = "⚠ mixes alphabets"

_LIKE = str.maketrans(
    "аеорсухіјѕԁһӏкмтнвԛԝгѵ" + "αονικρτυχηεβγω" + "ıɑɡօոսհցյ" + "01|",
    "aeopcyxijsdhlkmthbqwrv" + "aovikptuxnebyw" + "iagonuhgj" + "oll",
)
_PAIRS = (("rn", "m"), ("vv", "w"), ("cl", "d"))
_ALPHABETS = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"})


def skeleton(text: str) -> str:
    """What a name looks like at a glance: case, marks, blanks and look-alike letters make no difference."""
    plain = "".join(char for char in normalize("NFKD", text.casefold()) if category(char)[0] in "LN" or char == "|")
    plain = plain.translate(_LIKE).replace("i", "l")
    for pair, one in _PAIRS:
        plain = plain.replace(pair, one)
    return plain


def mixed(text: str) -> bool:
    """Whether letters of alphabets that look alike stand in one name."""
    scripts = {name(char, "").partition(" ")[0] for char in text if char.isalpha()}
    return len(scripts & _ALPHABETS) > 1


def warnings(rows: Sequence[Row]) -> dict[str, str]:
    """What to say beside which device's name, by id. `rows` have `id`, `name`, `self`, `paired`.

    This device is never doubted, and a paired one only for the sake of another paired one or this device.
    """
    looks: dict[str, list[Row]] = {}
    for row in rows:
        shape = skeleton(clean(row["name"]))
        if shape:
            looks.setdefault(shape, []).append(row)
    found = {row["id"]: MIXED for row in rows if not row["self"] and mixed(row["name"])}
    for alike in looks.values():
        known = sum(1 for row in alike if row["self"] or row["paired"])
        for row in alike:
            if not row["self"] and (known > 1 if row["paired"] else len(alike) > 1):
                found[row["id"]] = SAME
    return found
