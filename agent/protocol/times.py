"""Times as they are written in events, rows and answers: RFC 3339 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(unix: float) -> str:
    """Unix seconds as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unix_seconds(text: str) -> float:
    """Unix seconds of a time that `rfc3339` wrote. Raises: ValueError."""
    return datetime.fromisoformat(text).timestamp()


def span(seconds: float) -> str:
    """A duration as people say it, in whole units that are over: `12 s`, `4 min`, `3 h`, `2 days`."""
    whole = max(0, round(seconds))
    for size, unit, least in ((86_400, "days", 2), (3600, "h", 2), (60, "min", 2)):
        if whole >= size * least:
            return f"{whole // size} {unit}"
    return f"{whole} s"
