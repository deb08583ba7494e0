"""The odd agent as a kind of session."""

from __future__ import annotations

import sys
from pathlib import Path

from agent.adapters.backends.acp import AcpAgent
from agent.adapters.backends.acp.orphans import Orphans
from agent.adapters.backends.acp.timeouts import Timeouts
from agent.ports import BackendConfig

HERE = Path(__file__).parent
QUICK = Timeouts(start=10.0, load=10.0, quiet=0.05, minute=0.2, cancel=5.0, call=10.0, eof=2.0, term=2.0, silence=0.05)
"""For an agent that answers at once. Only what a test is about is made to run out."""
ORPHANS = Orphans()


def program(name: str, *options: str) -> tuple[str, ...]:
    return (sys.executable, "-I", str(HERE / f"{name}.py"), *options)


def odd(*options: str, timeouts: Timeouts = QUICK, orphans: Orphans = ORPHANS) -> AcpAgent:
    return AcpAgent("odd", BackendConfig(argv=program("odd", *options)), orphans, timeouts)
