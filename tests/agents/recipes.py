"""How each real agent is pointed at a model server and kept from everything else: updates, telemetry, other homes.

Written for codex-acp 0.16, gemini-cli 0.61, opencode 1.18 and hermes-agent 0.19.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.agents.installed import AGENTS, program_of

MODEL = "fake"
"""What the model server's model is called. Gemini knows its own models only, and is told one of those."""


@dataclass(frozen=True)
class Recipe:
    """One agent, ready to be started as an ACP agent in the folder `work`."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    """What must be set, whatever else the environment holds."""
    work: Path
    dangerous: bool = False
    """Whether it asks a person only about commands that look dangerous."""
    load_after_the_minute: bool = False
    """Whether it names session files by the minute: a load in the minute of the last run fails."""

    def environ(self) -> dict[str, str]:
        """A whole environment for it: nothing of this machine's but PATH."""
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "dumb", **self.env}

    def asking(self, command: str) -> str:
        """A prompt at which it asks for permission to run that command."""
        return f"model: tool {'rm -rf ./nothing && ' if self.dangerous else ''}{command}"


def recipe_for(agent: str, home: Path, work: Path, url: str) -> Recipe:
    """Write the agent's configuration into `home`; it will use the model server at `url` and trust the folder `work`.

    Raises: LookupError, if the agent is not installed.
    """
    program = program_of(agent)
    if program is None:
        raise LookupError(f"{AGENTS[agent]} is not installed")
    home.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True, exist_ok=True)
    own = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_STATE_HOME": str(home / ".local/state"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
    recipe = _RECIPES[agent](str(program), home, work, url)
    return replace(recipe, env=own | recipe.env)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _codex(program: str, home: Path, work: Path, url: str) -> Recipe:
    _write(
        home / ".codex/config.toml",
        f"""\
model = "{MODEL}"
model_provider = "tests"
approval_policy = "on-request"
sandbox_mode = "read-only"

[model_providers.tests]
name = "tests"
base_url = "{url}/v1"
wire_api = "responses"
requires_openai_auth = false
request_max_retries = 0
stream_max_retries = 0

[analytics]
enabled = false

[projects.{json.dumps(str(work))}]
trust_level = "trusted"
""",
    )
    return Recipe("codex", (program,), {"CODEX_HOME": str(home / ".codex")}, work)


def _gemini(program: str, home: Path, work: Path, url: str) -> Recipe:
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False, "disableAutoUpdate": True},
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
    }
    _write(home / ".gemini/settings.json", json.dumps(settings))
    env = {
        "GEMINI_API_KEY": "none",
        "GOOGLE_GEMINI_BASE_URL": url,
        "GEMINI_CLI_NO_RELAUNCH": "true",  # a second process for more memory: it would outlive a kill
        "GEMINI_TELEMETRY_ENABLED": "false",
    }
    argv = (program, "--acp", "-m", "gemini-2.5-flash")
    return Recipe("gemini", argv, env, work, load_after_the_minute=True)


def _opencode(program: str, home: Path, work: Path, url: str) -> Recipe:
    model = {"name": MODEL, "limit": {"context": 128_000, "output": 8_000}}
    provider = {
        "npm": "@ai-sdk/openai-compatible",  # in the binary: nothing is installed
        "name": "tests",
        "options": {"baseURL": f"{url}/v1", "apiKey": "none"},
        "models": {MODEL: model},
    }
    settings = {
        "model": f"tests/{MODEL}",
        "small_model": f"tests/{MODEL}",
        "provider": {"tests": provider},
        "permission": {"bash": "ask", "edit": "ask"},
        "autoupdate": False,
        "share": "disabled",
    }
    _write(home / ".config/opencode/opencode.json", json.dumps(settings))
    off = ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS", "SHARE")
    return Recipe("opencode", (program, "acp"), {f"OPENCODE_DISABLE_{each}": "1" for each in off}, work)


def _hermes(program: str, home: Path, work: Path, url: str) -> Recipe:
    _write(
        home / ".hermes/config.yaml",
        f"""\
model:
  provider: custom
  default: {MODEL}
  base_url: {url}/v1
  api_key: none
  context_length: 128000
approvals:
  mode: manual
memory:
  memory_enabled: false
  user_profile_enabled: false
""",
    )
    return Recipe("hermes", (program,), {"HERMES_HOME": str(home / ".hermes")}, work, dangerous=True)


_RECIPES: dict[str, Callable[[str, Path, Path, str], Recipe]] = {
    "codex": _codex,
    "gemini": _gemini,
    "opencode": _opencode,
    "hermes": _hermes,
}
