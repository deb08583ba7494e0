"""Times as they are written in events, rows and answers: RFC 3339 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(unix: float) -> str:
    """Unix seconds as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unix_seconds(text: str) -> float:
    """Unix seconds of a time that `rfc3339` wrote. Raises: ValueError."""
    return datetime.fromisoformat(text).timestamp()
