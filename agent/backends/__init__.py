"""What a session can be made of. Each backend is found by its entry point in `lan_agent.backends`."""

from __future__ import annotations

import logging
from importlib.metadata import entry_points

from agent.ports import BackendType

log = logging.getLogger(__name__)


def find_backends() -> dict[str, BackendType]:
    """Every backend that is installed, by name. One that cannot be loaded is left out, and the log says why."""
    found: dict[str, BackendType] = {}
    for entry in entry_points(group="lan_agent.backends"):
        try:
            found[entry.name] = entry.load()()
        except Exception:
            log.exception("a backend cannot be loaded", extra={"backend": entry.name})
    return found
