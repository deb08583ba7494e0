"""The household in one file, `household.json`: who founded it, what was said in it, its keys."""

from __future__ import annotations

from pathlib import Path

import msgspec

from agent.adapters.storage.files import damaged, private_folder, read_private, write_private
from agent.adapters.storage.state import HOUSEHOLD
from agent.adapters.storage.state_values import decoded, encoded
from agent.errors import StateError
from agent.protocol.household import HouseholdState
from agent.protocol.identity import BadCertificate, check_profile


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    # The file: bytes are in base64. A later version adds fields with defaults.
    version: int
    household: HouseholdState | None


class HouseholdFile:
    """The household in a file (`ports.HouseholdStore`). Holds keys, so a file that others may read is refused."""

    def __init__(self, folder: Path) -> None:
        """Read the file, if it is there. Raises: StateError."""
        self._path = private_folder(folder) / HOUSEHOLD
        data = read_private(self._path, secret=True)
        self._state = self._parse(data) if data is not None else None

    def load(self) -> HouseholdState | None:
        """The household that was saved last; None, if this device is in none."""
        return self._state

    def save(self, state: HouseholdState | None) -> None:
        """Keep the household, or forget it; durable on return. Raises: StateError, and then nothing has changed."""
        if state is not None and (wrong := _wrong(state)):
            raise StateError(f"cannot keep a household: {wrong}", hint="nothing was changed")
        write_private(self._path, encoded(self._path, _Kept(version=1, household=state)))
        self._state = state

    def _parse(self, data: bytes) -> HouseholdState | None:
        kept = decoded(self._path, data, _Kept)
        if kept.version != 1:
            raise StateError(f"{self._path} was written by a later version", hint="use that version, or a new home")
        if kept.household is not None and (wrong := _wrong(kept.household)):
            raise damaged(self._path, wrong)
        return kept.household


def _wrong(state: HouseholdState) -> str:
    # What is wrong with its founder; empty, if nothing is.
    try:
        check_profile(state.founder)
    except BadCertificate as exc:
        return str(exc)
    return ""
