"""The agents that are looked for on this device. Nothing is downloaded: the user installs them."""

from __future__ import annotations

from msgspec import Struct


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
"""Name -> agent."""
