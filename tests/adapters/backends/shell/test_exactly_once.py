"""S3 for shells: whenever the service is killed, each prompt runs exactly once, and what became of it is known."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = int(os.environ.get("LAN_AGENT_TEST_KILLS") or 10)
"""Services that are killed; more find rarer faults."""
GENERATIONS = Path(__file__).with_name("generations.py")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.timeout(60 + 2 * KILLS)
def test_every_prompt_runs_once_whenever_the_service_is_killed(shell: str, home: Path) -> None:
    root = Path(__file__).parents[4]
    told = subprocess.run(
        [sys.executable, str(GENERATIONS), shell, str(home), str(KILLS), "1"],
        cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (told.returncode, told.stderr) == (0, "")
    lines = [line.split() for line in (home / "log").read_text().splitlines()]
    begun = [int(line[1]) for line in lines if line[0] == "begin"]
    assert begun == list(range(1, len(begun) + 1))
    assert [int(number) for number in (home / "ran").read_text().split()] == begun  # S3: once each, in order
    over = [(int(line[1]), line[2]) for line in lines if line[0] == "over"]
    assert over == [(number, str(number % 7)) for number in begun]
