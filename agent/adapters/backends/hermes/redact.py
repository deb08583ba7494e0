"""What must not leave this machine in texts about tools and questions: where its owner's home is."""

from __future__ import annotations

import re
from pathlib import Path


class Veil:
    """Writes `~` for the owner's home directory. What people and models said is never touched."""

    def __init__(self, home: Path | None = None) -> None:
        """`home`: another than the user's."""
        found = {str(each) for each in (home or Path.home(), (home or Path.home()).resolve())} - {"/", "."}
        # Not in the middle of a longer name: /home/me is not part of /home/mellow.
        words = "|".join(re.escape(each) for each in sorted(found, key=len, reverse=True))
        self._homes = re.compile(rf"(?:{words})(?![\w.-])") if words else None

    def over(self, text: str) -> str:
        """The text as others may read it."""
        return self._homes.sub("~", text) if self._homes else text
