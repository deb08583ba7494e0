"""The gateway of the command line's tests, its session that of an agent: with options, and a form to fill in."""

from __future__ import annotations

from typing import Any

import msgspec

from agent.protocol.answers import checked_option
from agent.protocol.events import Choice, Command, Field, Option, RequestOpen, SessionInfo
from agent.protocol.messages import Attached, Configure, Nothing
from tests.frontends.gateway import FakeGateway

MODES = (Choice(id="ask", name="Ask first"), Choice(id="free", name="Do it"))
MODELS = (Choice(id="small", name="Small one"), Choice(id="large", name="La\x1b[2Jrge"))
COMMANDS = tuple(Command(name=name) for name in ("init", "re\x1b[2Jview", *map(str, range(12))))
FORM = RequestOpen(
    turn=1,
    request_id="form-1",
    kind="form",
    prompt="How shall it be?",
    fields=(
        Field(name="count", type="integer", required=True, title="How many"),
        Field(name="mode", type="choice", choices=MODES, default="free"),
        Field(name="why", description="For the log"),
    ),
)


class AgentGateway(FakeGateway):
    """Its session has two options."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.options = [
            Option(id="mode", name="Mode", value="ask", choices=MODES, category="mode"),
            Option(id="m", name="Model", value="small", choices=MODELS, category="model"),
        ]

    async def _result(self, method: str, params: Any) -> object:
        if method == "session.configure":
            return await self._configure(params)
        result = await super()._result(method, params)
        if isinstance(result, Attached):
            return msgspec.structs.replace(result, options=tuple(self.options), commands=COMMANDS)
        return result

    async def _configure(self, params: Configure) -> Nothing:
        value = checked_option(self.options, params.option, params.value)
        self.options = [
            msgspec.structs.replace(option, value=value) if option.id == params.option else option
            for option in self.options
        ]
        self._later(SessionInfo(options=tuple(self.options)))
        return Nothing()
