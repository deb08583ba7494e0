"""Backend `shell`: for now the driver of `commands` by another name.

`launch` finds shells and starts them, `box` is the folder through which service and shell hand each other prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from agent.adapters.backends.commands import CommandsBackend


class ShellBackend(CommandsBackend):
    """The kind of session that is a shell (`ports.BackendType`)."""

    name: ClassVar[str] = "shell"
    description: ClassVar[str] = "commands in a bash that stays"

    def shells(self) -> Sequence[str]:
        """Names of the shells on this device that it knows, the user's own first."""
        return ("bash",)


__all__ = ["ShellBackend"]
