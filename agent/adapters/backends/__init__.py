"""The kinds of session that this device can make, each found by its entry point in `lan_agent.backends`.

An entry point makes one kind of session (`ports.BackendType`) or several (`ports.BackendFamily`). Where two have one
name, the loser is told as a problem unless the owner's settings decided it: what the settings name comes first, then
lan-agent's own, then the other packages' in the order of their entry points' names.

`shell` and `terminal` run programs on a pseudo-terminal (`pty`), `acp` agents that speak the Agent Client Protocol,
`openai` chats with a model, `hermes` the sessions of a Hermes gateway. What they share: `tasks` (of one session),
`process_owner` (which session a process belongs to), `launching` (a directory, signals), `limits` (open files).
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points

from msgspec import Struct

from agent.ports import BackendConfig, BackendFamily, BackendType, Installed
from agent.ports.backends import BACKEND_NAME

log = logging.getLogger(__name__)

GROUP = "lan_agent.backends"
OWN = "lan-agent"
CORRECT = "correct config.toml and start the service again"
UPDATE = "update or uninstall the package that has it, then start the service again"


class InstalledBackends(Struct, frozen=True):
    """Every kind of session of this device by its name, broken ones too, and `problems` that the owner should mend."""

    installed: dict[str, Installed]
    problems: tuple[str, ...] = ()

    def usable(self) -> dict[str, BackendType]:
        """The kinds of session that are not broken, by name."""
        return {name: each.type for name, each in self.installed.items() if each.type is not None}

    def troubles(self, default: str, shell: str = "") -> tuple[str, ...]:
        """The problems, and those of settings that cannot be used: `sessions.backend`, and `sessions.shell` if any."""
        told = [*self.problems]
        if default not in self.usable():
            told.append(f"sessions.backend is {default!r}, which is not installed: see `agent backends`")
        if shell and not shutil.which(os.path.expanduser(shell)):  # noqa: PTH111 - "~nobody" is no error
            told.append(f"sessions.shell is {shell!r}, which is not installed: see `agent backends shell`")
        return tuple(told)


def find_backends(
    configured: Mapping[str, BackendConfig], entries: Iterable[EntryPoint] | None = None
) -> InstalledBackends:
    """Load the backends that are installed and that the settings name; nothing is started or asked. Raises nothing.

    `entries`: other entry points than those of this environment.
    """
    found: dict[str, _Made] = {}
    problems: list[str] = []
    ordered = sorted(entry_points(group=GROUP) if entries is None else entries, key=_rank)
    made = [each for entry in ordered for each in _made_by(entry, configured)]
    for each in sorted(made, key=lambda one: not one.named):  # stable: else as before
        winner = found.setdefault(each.kind.name, each)
        if winner is each and each.kind.problem:
            problems.append(f"the backend {each.kind.name!r} ({each.value}) cannot be used: {each.kind.problem}")
        elif winner is not each and not winner.named:
            problems.append(f"there are two backends {each.kind.name!r}: {winner.value} is used, not {each.value}")
    installed = {name: each.kind for name, each in found.items()}
    for name, config in configured.items():
        if name not in found or not found[name].named:
            problem = _unmade(config.kind, ordered)
            installed[name] = Installed(name=name, entry=config.kind, problem=problem, hint=CORRECT)
            problems.append(f"[backends.{name}] in config.toml: {problem}")
    return InstalledBackends(installed, tuple(problems))


class _Made(Struct, frozen=True):
    kind: Installed
    value: str  # module and class
    named: bool  # whether the settings name it


def _rank(entry: EntryPoint) -> tuple[bool, str]:
    own = entry.dist is not None and entry.dist.name == OWN
    return not own, entry.name


def _made_by(entry: EntryPoint, configured: Mapping[str, BackendConfig]) -> Sequence[_Made]:
    named = {name: config for name, config in configured.items() if config.kind == entry.name}
    try:
        made = entry.load()()
        if not isinstance(made, BackendFamily):
            return [_Made(_checked(made, entry.name, entry), entry.value, named=False)]
        members = [_checked(each, each.name, entry) for each in made.members(named)]
    except (Exception, SystemExit) as exc:
        log.exception("a backend cannot be loaded", extra={"backend": entry.name})
        problem = " ".join(f"{type(exc).__name__}: {exc}".split())[:500]
        # Each one that the settings wanted of it is broken, too.
        broken = [Installed(name=name, entry=entry.name, problem=problem, hint=UPDATE) for name in (entry.name, *named)]
        return [_Made(each, entry.value, named=each.name in named) for each in broken]
    return [_Made(each, entry.value, named=each.name in named) for each in members]


def _checked(made: BackendType, name: str, entry: EntryPoint) -> Installed:
    if not BACKEND_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a backend")
    for word in ("description", "takes_command", "missing", "start"):
        getattr(made, word)  # told now, not when a session is created
    return Installed(name=name, entry=entry.name, type=made)


def _unmade(kind: str, entries: Iterable[EntryPoint]) -> str:
    kinds = sorted({entry.name for entry in entries})
    if kind not in kinds:
        return f"there is no kind {kind!r}; there are: {', '.join(kinds) or 'none'}"
    return f"the kind {kind!r} takes no settings"
