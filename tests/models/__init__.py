"""A stand-in for language models, so that real agents can be tested with no network and no key.

    async with ModelServer() as models:  # in the test's own loop
        ...  # an agent whose base URL is models.url is prompted with "model: say 3"
        assert models.turns[0].outcome == "done"

    with ModelProcess(host.popen) as models:  # a program of its own, in a host's network namespace
        ...

It speaks OpenAI chat completions, OpenAI responses and Gemini; `script` has the words that steer it, `shapes` what
Ollama, LM Studio, llama.cpp and vLLM answer to those who look for them. Written from the public descriptions of
these interfaces, and tried with the agents of `tests.agents`.
"""

from __future__ import annotations

from tests.models.process import ModelProcess
from tests.models.server import Heard, ModelServer
from tests.models.shapes import SHAPES, Shape

__all__ = ["SHAPES", "Heard", "ModelProcess", "ModelServer", "Shape"]
