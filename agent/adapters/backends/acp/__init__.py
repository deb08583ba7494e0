"""Backend `acp`: agents that speak the Agent Client Protocol on stdin and stdout (docs/design/acp.md).

`family` has the kinds of session. A `session` has a `supervisor` of its agent, which runs as a `running_agent`: its
`process`, the `connection` over that, and the `handshake` that opens a session. `schema` is what is read; `updates`,
`tools`, `diffs` and `options` turn that into events, `questions` into questions for people, `turn` into the end of a
turn. `quirks` and `last_opened` are for what single agents do, `orphans` ends what they leave behind, `timeouts` says
how long is waited for what.
"""

from __future__ import annotations

from agent.adapters.backends.acp.family import AcpAgent, AcpFamily

__all__ = ["AcpAgent", "AcpFamily"]
