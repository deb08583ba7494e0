"""Themes and plugins of Debian, as their packages say to use them: prompts of a session are told as without them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from agent.protocol.terminal_lines import plain
from tests.adapters.backends.shell.conftest import Starter
from tests.fakes.listener import Listener, finished, run, said

SHARE = Path("/usr/share")
POWERLINE = SHARE / "powerline/bindings"
FZF = SHARE / "doc/fzf/examples"
HIGHLIGHTING = f". {SHARE}/zsh-syntax-highlighting/zsh-syntax-highlighting.zsh"
SUGGESTIONS = f". {SHARE}/zsh-autosuggestions/zsh-autosuggestions.zsh"
NINE = f". {SHARE}/powerlevel9k/powerlevel9k.zsh-theme"
USED = {
    "bash": {
        "bash-completion": f". {SHARE}/bash-completion/bash_completion",
        "direnv": 'eval "$(direnv hook bash)"',
        "fzf": f". {FZF}/key-bindings.bash",
        "liquidprompt": f". {SHARE}/liquidprompt/liquidprompt",
        "powerline": f". {POWERLINE}/bash/powerline.sh",
        "zoxide": 'eval "$(zoxide init bash)"',
    },
    "zsh": {
        "direnv": 'eval "$(direnv hook zsh)"',
        "fzf": f". {FZF}/key-bindings.zsh",
        "liquidprompt": f". {SHARE}/liquidprompt/liquidprompt",
        "powerlevel9k": NINE,
        "powerline": f". {POWERLINE}/zsh/powerline.zsh",
        "zoxide": 'autoload -Uz compinit; compinit -D -u; eval "$(zoxide init zsh)"',
        "zsh-autosuggestions": SUGGESTIONS,
        "zsh-syntax-highlighting": HIGHLIGHTING,
        "all": f"bindkey -v\n{NINE}\n{SUGGESTIONS}\n{HIGHLIGHTING}",
    },
    "fish": {
        "direnv": "direnv hook fish | source",
        "fzf": "fzf_key_bindings",
        "powerline": f"set fish_function_path $fish_function_path {POWERLINE}/fish\npowerline-setup",
        "zoxide": "zoxide init fish | source",
    },
}
"""What people write into their start-up files."""


def missing(lines: str) -> list[str]:
    """What these lines use and is not installed."""
    files = re.findall(rf"{SHARE}[\w./-]+", lines)
    programs = {"direnv", "fzf", "zoxide"} & set(re.findall(r"\w+", lines))
    return [needed for needed in (*files, *programs) if not Path(needed).exists() and not shutil.which(needed)]


@pytest.mark.parametrize(
    ("shell", "lines"),
    [pytest.param(shell, lines, id=f"{shell}-{name}") for shell, used in USED.items() for name, lines in used.items()],
)
async def test_a_theme_or_plugin_leaves_a_shell_usable(
    start: Starter, listener: Listener, shell: str, lines: str
) -> None:
    assert not missing(lines), "these tests are about it"
    backend = await start(shell, lines)
    events = await run(backend, listener, "cd /; echo one")
    assert plain(said(events)).endswith("one\n")
    assert (finished(events).status, finished(events).exit_status, finished(events).cwd) == ("complete", 0, "/")
    events = await run(backend, listener, "sh -c 'printf half; exit 3'")
    assert plain(said(events)) == "half"
    assert (finished(events).status, finished(events).exit_status) == ("complete", 3)
