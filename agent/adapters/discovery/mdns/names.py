"""Names of the DNS as they arrive from anybody, and what may be done with them."""

from __future__ import annotations

TYPE = "_lan-agent._tcp.local."
PAIR_TYPE = "_lan-agent-pair._tcp.local."

LABEL_MAX, NAME_MAX = 63, 253
"""Bytes (RFC 1035, 2.3.4), of a name without the root."""


def is_instance(name: str, service: str = TYPE) -> bool:
    """Whether a name is that of an instance of the service, not of the service itself."""
    return len(name) > len(service) + 1 and name.lower().endswith(f".{service}")


def is_sendable(name: str) -> bool:
    """Whether a name fits into a packet. One whose bytes were no UTF-8 has grown while it was read."""
    labels = name.rstrip(".").split(".")
    sizes = [len(label.encode("utf-8", "surrogatepass")) for label in labels]
    return max(sizes) <= LABEL_MAX and sum(sizes) + len(sizes) - 1 <= NAME_MAX
