"""The real agents, made to run offline: where they are installed, and how each is pointed at `tests.models`.

    recipe = recipe_for("codex", home, work, models.url)  # writes its configuration into `home`
    process = subprocess.Popen(recipe.argv, env=recipe.environ(), …)
    prompt = recipe.asking("echo hello > made.txt")  # one that makes it ask for permission to run that

They are looked for in the folders of `LAN_AGENT_TEST_AGENTS` (npm prefixes and virtual environments, side by side),
then on PATH. Tests take the fixture `real_agent` (tests/agents/fixtures.py): it skips where an agent is not
installed, and fails in CI.
"""

from __future__ import annotations

from tests.agents.installed import AGENTS, installed, missing, program_of
from tests.agents.recipes import Recipe, recipe_for

__all__ = ["AGENTS", "Recipe", "installed", "missing", "program_of", "recipe_for"]
