"""The agents as kinds of session: those that are known, and those that the settings name.

Nothing is downloaded: the user installs an agent.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence

from msgspec import Struct

from agent.adapters.backends.acp.last_opened import LastOpened
from agent.adapters.backends.acp.orphans import Orphans
from agent.adapters.backends.acp.timeouts import Timeouts
from agent.errors import BackendFailed
from agent.ports import Backend, BackendConfig, BackendType, Emit, Inspection, Start
from agent.protocol.model import SessionId

KIND = "acp"
"""The entry point, and `kind` in the settings."""


class KnownAgent(Struct, frozen=True, kw_only=True):
    """An agent that is known to speak ACP on its standard input and output."""

    description: str
    program: str  # what is to be installed
    argvs: tuple[tuple[str, ...], ...]  # the first whose program is on PATH is run
    install: str  # how to get it
    login: str  # how a person logs in, outside of a session


KNOWN_AGENTS: dict[str, KnownAgent] = {
    "claude": KnownAgent(
        description="Claude Code",
        program="claude-agent-acp",
        argvs=(("claude-agent-acp",), ("claude-code-acp",)),
        install="npm install -g @agentclientprotocol/claude-agent-acp",
        login="run `claude` on that device and log in",
    ),
    "codex": KnownAgent(
        description="Codex",
        program="codex-acp",
        # The platform's binary first: the wrapper of npm keeps a second process (40 MB) and starts 0.2 s later.
        argvs=(("codex-acp-linux-x64",), ("codex-acp",)),
        install="npm install -g @agentclientprotocol/codex-acp",
        login="run `codex login` on that device",
    ),
    "gemini": KnownAgent(
        description="Gemini CLI",
        program="gemini",
        argvs=(("gemini", "--acp"),),
        install="npm install -g @google/gemini-cli",
        login="run `gemini` on that device and log in",
    ),
    "opencode": KnownAgent(
        description="opencode",
        program="opencode",
        argvs=(("opencode", "acp"),),
        install="npm install -g opencode-ai",
        login="run `opencode auth login` on that device",
    ),
    "hermes": KnownAgent(
        description="Hermes",
        program="hermes-acp",
        argvs=(("hermes-acp",),),
        install="pipx install 'hermes-agent[acp]'",
        login="run `hermes setup` on that device",
    ),
    "goose": KnownAgent(
        description="goose",
        program="goose",
        argvs=(("goose", "acp"),),
        install="see the installation page of goose",
        login="run `goose configure` on that device",
    ),
}
"""The agents that are looked for on this device, by name."""
_UNKNOWN = KnownAgent(description="an agent that speaks ACP", program="", argvs=(), install="", login="")


class AcpFamily:
    """The known agents, installed or not, and those that the settings name (`ports.BackendFamily`)."""

    def members(self, configured: Mapping[str, BackendConfig]) -> Sequence[BackendType]:
        """One kind of session for each agent; what the settings say goes before what is found."""
        own = {name: config for name, config in configured.items() if config.kind == KIND}
        orphans = Orphans()
        return [AcpAgent(name, own.get(name), orphans) for name in {**KNOWN_AGENTS, **own}]


class AcpAgent:
    """One agent as a kind of session (`ports.BackendType`), with a process for each of its sessions."""

    takes_command = False
    kind = KIND

    def __init__(
        self, name: str, config: BackendConfig | None, orphans: Orphans, timeouts: Timeouts | None = None
    ) -> None:
        """`config` comes from the settings; without `argv` in it, the known agent of that name is looked for."""
        self._name, self._config = name, config or BackendConfig()
        self._known = KNOWN_AGENTS.get(name, _UNKNOWN)
        self._orphans, self._timeouts = orphans, timeouts or Timeouts()
        self._last_opened = LastOpened()

    @property
    def name(self) -> str:
        """What people call the agent: `agent new --backend NAME`."""
        return self._name

    @property
    def description(self) -> str:
        """What the agent is, in a few words, for everybody in the household."""
        return self._config.description or self._known.description

    def missing(self) -> str:
        """What must be installed before the agent can be used, as a sentence; empty if nothing."""
        return "" if self._argv() else self._missing()

    async def inspect(self) -> Inspection:
        """Tell where the agent's program is, or how to get it. Nothing is started: that costs up to 400 MB."""
        if argv := self._argv():
            return Inspection(detail=" ".join(argv))
        return Inspection(missing=self._missing(), hint=self._hint())

    async def start(self, start: Start, emit: Emit) -> Backend:
        """Start the agent and open its session; a restored one goes on with the last of `start.lineage`.

        Raises: BackendFailed.
        """
        # What runs an agent is needed only while one runs: the idle service keeps to its memory.
        from agent.adapters.backends.acp.running_agent import AgentProgram  # noqa: PLC0415
        from agent.adapters.backends.acp.session import start_session  # noqa: PLC0415

        argv = self._argv()
        if not argv:
            raise BackendFailed(self._missing(), hint=self._hint())
        program = AgentProgram(name=self._name, argv=argv, env=self._config.env, login=self._known.login)
        return await start_session(
            program,
            start,
            emit,
            cwd=self._config.cwd,
            orphans=self._orphans,
            last_opened=self._last_opened,
            timeouts=self._timeouts,
        )

    async def clear_up(self, session: SessionId) -> None:
        """End an agent that has outlived the service: not all heed the end of their input."""
        await self._orphans.clear_up(session)

    def _argv(self) -> tuple[str, ...]:
        """Program and arguments, the program by its path; empty if it is not there."""
        for program, *arguments in (self._config.argv,) if self._config.argv else self._known.argvs:
            if found := shutil.which(program, path=self._config.env.get("PATH")):
                return (found, *arguments)
        return ()

    def _missing(self) -> str:
        if self._config.argv:
            return f"{self._config.argv[0]} is not installed"
        if self._known.argvs:
            return f"{self._known.program} is not installed"
        return f"[backends.{self._name}] has no argv"

    def _hint(self) -> str:
        if self._config.argv or not self._known.argvs:
            return f"see [backends.{self._name}] in config.toml"
        return self._known.install
