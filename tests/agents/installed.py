"""Which real agents are on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

AGENTS = {"codex": "codex-acp", "gemini": "gemini", "opencode": "opencode", "hermes": "hermes-acp"}
"""Name -> its program."""

FOLDERS = "LAN_AGENT_TEST_AGENTS"
"""Variable: folders, with `:` between them, that hold installations."""

NODE = {"gemini": 20}
"""Agents that are run by node, and the oldest version that will do. The others bring all they need."""


def program_of(agent: str, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The agent's program; None if it is not installed."""
    program = AGENTS[agent]
    # The platform's own binary before the wrapper that only starts it.
    inside = (f"node_modules/*/bin/{program}", f"node_modules/@*/*/bin/{program}", f"node_modules/.bin/{program}",
              f"bin/{program}")  # fmt: skip
    for folder in filter(None, environ.get(FOLDERS, "").split(":")):
        for pattern in (*inside, *(f"*/{each}" for each in inside)):
            for found in sorted(Path(folder).glob(pattern)):
                if os.access(found, os.X_OK):
                    return found.absolute()
    found_on_path = shutil.which(program, path=environ.get("PATH"))
    return Path(found_on_path).absolute() if found_on_path else None


def missing(agent: str) -> str:
    """Why the agent cannot be run here, as a sentence; empty if it can."""
    if program_of(agent) is None:
        return f"needs {AGENTS[agent]}, on PATH or in a folder of {FOLDERS}"
    wanted = NODE.get(agent, 0)
    if wanted and node_version() < wanted:
        return f"{agent} needs node {wanted} or later on PATH"
    return ""


def installed() -> list[str]:
    """The agents that can be run here."""
    return [agent for agent in AGENTS if not missing(agent)]


@cache
def node_version() -> int:
    """Major version of the node on PATH, 0 without one."""
    if not shutil.which("node"):
        return 0
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False, timeout=30).stdout
    found = re.match(r"v(\d+)", said)
    return int(found[1]) if found else 0
