"""Backend `openai`: a chat with a model, over the completions that OpenAI has and most servers of models speak.

`family` makes the kinds of session; `servers` says which servers may be on this machine and `address` where one of the
settings is; `client` speaks to it, `sse` and `chunks` read what it streams, `reply` is what comes of that;
`conversation` and `session` are one chat (docs/design/backends.md).
"""

from __future__ import annotations

from agent.adapters.backends.openai.family import OpenAIFamily

__all__ = ["OpenAIFamily"]
