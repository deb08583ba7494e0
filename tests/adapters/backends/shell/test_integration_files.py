"""The files that a shell reads are right by their own shell, and by shellcheck."""

import shutil
import subprocess
from pathlib import Path

import pytest

from agent.adapters.backends import shell

pytestmark = pytest.mark.unit

INTEGRATION = Path(shell.__file__).parent / "integration"


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(("shellcheck", "bash.rc"), id="shellcheck"),
        pytest.param(("bash", "-n", "bash.rc"), id="bash"),
        pytest.param(("zsh", "-n", "zsh/.zshenv"), id="zsh"),
        pytest.param(("zsh", "-n", "zsh/marks.zsh"), id="zsh-marks"),
        pytest.param(("fish", "-n", "config.fish"), id="fish"),
    ],
)
def test_integration_files_have_no_fault_that_their_shell_would_name(check: tuple[str, ...]) -> None:
    if shutil.which(check[0]) is None:
        pytest.skip(f"not installed: {check[0]}")
    done = subprocess.run([*check], cwd=INTEGRATION, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
