"""The example in docs/design/backends.md works as it stands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.ports import BackendType, Finished, Said, Start
from agent.protocol.model import SessionId
from tests.fakes.listener import Listener, run

PAGE = (Path(__file__).parents[2] / "docs" / "design" / "backends.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


NOW = "from agent.ports import Answer, "
BEFORE = "from agent.core.transcript import Answer\nfrom agent.ports import "
"""As the page had it up to version 0.1: packages that were written then go on."""


@pytest.mark.parametrize("imports", [NOW, BEFORE], ids=["now", "as before"])
async def test_the_documented_example_can_be_pasted(imports: str) -> None:
    example = block("python")
    assert NOW in example
    module: dict[str, Any] = {"__name__": "count_backend"}
    exec(compile(example.replace(NOW, imports), "count_backend.py", "exec"), module)
    made: BackendType = module["CountBackend"]()
    listener = Listener()
    backend = await made.start(Start(session=SessionId("one")), listener.emit)
    assert await run(backend, listener, "one two three") == [Said("3 words"), Finished(status="complete")]
    await backend.close()


def test_the_documented_entry_point_names_the_example() -> None:
    points = tomllib.loads(block("toml"))["project"]["entry-points"]["lan_agent.backends"]
    assert points == {"count": "count_backend:CountBackend"}
