"""Redacts what must not leave this machine in texts about tools and questions: where its owner's home is."""

from __future__ import annotations

import re
from pathlib import Path


class Redactor:
    """Writes `~` for the owner's home directory. What people and models said is never touched."""

    def __init__(self, home: Path | None = None) -> None:
        """`home` is another home than the user's, for tests."""
        found = {str(each) for each in (home or Path.home(), (home or Path.home()).resolve())} - {"/", "."}
        # Not in the middle of a longer name: /home/me is not part of /home/mellow.
        words = "|".join(re.escape(each) for each in sorted(found, key=len, reverse=True))
        self._homes = re.compile(rf"(?:{words})(?![\w.-])") if words else None

    def redacted(self, text: str) -> str:
        """Return the text as others may read it: with `~` for the home directory."""
        return self._homes.sub("~", text) if self._homes else text
