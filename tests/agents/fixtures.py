"""Fixtures for tests with models and with real agents: a plugin, so that every folder of tests has them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.agents.installed import missing
from tests.agents.recipes import Recipe, recipe_for

if TYPE_CHECKING:
    from tests.models import ModelServer

RealAgent = Callable[[str, Path, Path, str], Recipe]


@pytest.fixture
async def models() -> AsyncIterator[ModelServer]:
    """A model server in the test's own loop."""
    from tests.models import ModelServer

    async with ModelServer() as server:
        yield server


@pytest.fixture
def real_agent(record_property: Callable[[str, object], None]) -> RealAgent:
    """`recipe_for`; the test is skipped where that agent is not installed. In CI it fails, since there it must run."""

    def recipe(agent: str, home: Path, work: Path, url: str) -> Recipe:
        if reason := missing(agent):
            if os.environ.get("CI"):
                pytest.fail(f"real agents must run in CI: {reason}")
            pytest.skip(reason)
        record_property("real-agent", agent)  # .ci/run asks the report for every one of them
        return recipe_for(agent, home, work, url)

    return recipe
