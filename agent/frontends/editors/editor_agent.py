"""The agent that an editor talks to: opens sessions of all devices, or one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import Raw

from agent import __version__
from agent.client.terminal_text import clean
from agent.errors import BadParams, MethodNotFound, SessionNotFound
from agent.frontends.editors import incoming, outgoing
from agent.frontends.editors.connection import EditorAnswer, EditorPeer, converted
from agent.protocol.waiting import PATIENCE

if TYPE_CHECKING:
    from agent.frontends.editors.editor_session import EditorSession

T = TypeVar("T")
START_SECONDS = 90.0
"""A peer may have to be dialled, and an agent to be started, before a session answers."""
CAPABILITIES: incoming.Json = {
    "loadSession": True,
    "promptCapabilities": {"image": False, "audio": False, "embeddedContext": True},
    "mcpCapabilities": {"http": False, "sse": False},
    "sessionCapabilities": {"list": {}, "resume": {}, "close": {}},
}


class EditorAgent:
    """Answers an editor. `session`: the only one that is served; without it, all, and new ones on `device`.

    `wait`: seconds for which a device that is out of reach is waited for.
    """

    def __init__(
        self,
        path: Path,
        peer: EditorPeer,
        *,
        session: str = "",
        device: str = "",
        backend: str = "",
        wait: float = PATIENCE,
    ) -> None:
        self._path = path
        self._peer = peer
        self._wait = wait
        self._session = session
        self._device = device
        self._backend = backend
        self._forms = False  # whether the editor has forms
        self._served: dict[str, tuple[EditorSession, asyncio.Task[None]]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._methods: dict[str, Callable[[Raw], Awaitable[EditorAnswer]]] = {
            "initialize": self._initialize,
            "authenticate": self._nothing,
            "session/new": self._new,
            "session/load": self._load,
            "session/resume": self._resume,
            "session/list": self._list,
            "session/close": self._close,
            "session/prompt": self._prompt,
            "session/set_mode": self._set_mode,
            "session/set_model": self._set_model,
            "session/set_config_option": self._set_config_option,
        }

    async def run(self) -> None:
        """Answer until the editor leaves; then detach: sessions go on."""
        async with asyncio.TaskGroup() as self._tasks:
            await self._peer.run(self._handle, self._listen)
            for _, task in self._served.values():
                task.cancel()

    async def _handle(self, method: str, params: Raw) -> EditorAnswer:
        handler = self._methods.get(method)
        if handler is None:
            raise MethodNotFound(f"no method {clean(method)!r}", hint="")
        return await handler(params)

    async def _listen(self, method: str, params: Raw) -> None:
        if method == "session/cancel":
            served = self._of(converted(params, incoming.OnEditorSession).session_id)
            assert self._tasks is not None
            self._tasks.create_task(served.cancel(), name="acp.cancel")

    # --- the connection ----------------------------------------------------------------------------------------------

    async def _initialize(self, params: Raw) -> EditorAnswer:
        told = converted(params, incoming.Initialize)
        can = told.client_capabilities
        self._forms = bool(can and can.elicitation and can.elicitation.form is not None)
        return EditorAnswer({
            "protocolVersion": incoming.VERSION,
            "agentCapabilities": CAPABILITIES,
            "agentInfo": {"name": "lan-agent", "title": "lan-agent", "version": __version__},
            "authMethods": [],
        })  # fmt: skip

    async def _nothing(self, params: Raw) -> EditorAnswer:  # noqa: ARG002 - one signature for every method
        return EditorAnswer({})

    # --- sessions ----------------------------------------------------------------------------------------------------

    async def _list(self, params: Raw) -> EditorAnswer:
        asked = converted(params, incoming.ListEditorSessions)
        from agent.frontends.editors.sessions import listed

        return EditorAnswer(await listed(self._path, only=self._session, cwd=asked.cwd or ""))

    async def _new(self, params: Raw) -> EditorAnswer:
        asked = converted(params, incoming.NewSession)
        from agent.frontends.editors.sessions import created

        session = self._session or await created(
            self._path, device=self._device, backend=self._backend, cwd=asked.cwd, seconds=START_SECONDS
        )
        served = await self._open(session, replay=True)
        if self._session:
            self._session = served.id  # it may be renamed
        return EditorAnswer(self._state(served, served.id), served.told.set)

    async def _load(self, params: Raw) -> EditorAnswer:
        served = await self._open_exactly(params, replay=True)
        served.told.set()
        await served.replayed
        return EditorAnswer(self._state(served, ""))

    async def _resume(self, params: Raw) -> EditorAnswer:
        served = await self._open_exactly(params, replay=False)
        return EditorAnswer(self._state(served, ""), served.told.set)

    async def _close(self, params: Raw) -> EditorAnswer:
        session = converted(params, incoming.OnEditorSession).session_id
        await self._of(session).close()
        self._leave(session)
        return EditorAnswer({})

    async def _open_exactly(self, params: Raw, *, replay: bool) -> EditorSession:
        session = converted(params, incoming.OnEditorSession).session_id
        if self._session:
            from agent.frontends.editors.sessions import resolved

            self._session = await resolved(self._path, self._session)
            if session != self._session:
                raise SessionNotFound(f"only {clean(self._session)!r} is served here, not {clean(session)!r}")
        served = await self._open(session, replay=replay)
        if served.id != session:  # a title, or the beginning of an id: the editor would not know it by the updates
            self._leave(served.id)
            raise SessionNotFound(f"no session has the id {clean(session)!r}", hint=f"{served.id} is called so")
        return served

    async def _open(self, session: str, *, replay: bool) -> EditorSession:
        from agent.frontends.editors.editor_session import (
            EditorSession,  # brings aiohttp, which `initialize` needs not wait for
        )

        before = self._leave(session)
        turns = before.turns if before else None
        served = EditorSession(self._peer, session, forms=self._forms, turns=turns, replay=replay, wait=self._wait)
        assert self._tasks is not None
        task = self._tasks.create_task(served.run(self._path), name="acp.session")
        try:
            await served.attached
        except asyncio.CancelledError:
            task.cancel()
            raise
        self._leave(served.id)  # it was opened twice at once
        self._served[served.id] = served, task
        return served

    def _leave(self, session: str) -> EditorSession | None:
        served, task = self._served.pop(session, (None, None))
        if task is not None:
            task.cancel()
        return served

    def _of(self, session: str) -> EditorSession:
        found = self._served.get(session)
        if found is None:
            raise SessionNotFound(f"the session {clean(session)!r} is not open here", hint="load it first")
        return found[0]

    @staticmethod
    def _state(served: EditorSession, session: str) -> outgoing.EditorSessionState:
        from agent.frontends.editors.options import state

        return state(session, served.options)

    # --- one session -------------------------------------------------------------------------------------------------

    async def _prompt(self, params: Raw) -> EditorAnswer:
        asked = converted(params, incoming.EditorPrompt)
        return EditorAnswer(outgoing.PromptResult(await self._of(asked.session_id).prompt(prompt_text(asked.prompt))))

    async def _set_mode(self, params: Raw) -> EditorAnswer:
        asked = converted(params, incoming.SetMode)
        await self._set_category(asked.session_id, "mode", asked.mode_id)
        return EditorAnswer({})

    async def _set_model(self, params: Raw) -> EditorAnswer:
        asked = converted(params, incoming.SetModel)
        await self._set_category(asked.session_id, "model", asked.model_id)
        return EditorAnswer({})

    async def _set_category(self, session: str, category: str, value: str) -> None:
        from agent.frontends.editors.options import id_of_category

        served = self._of(session)
        await served.configure(id_of_category(served.options, category), value)

    async def _set_config_option(self, params: Raw) -> EditorAnswer:
        asked = converted(params, incoming.SetConfigOption)
        if isinstance(asked.value, bool):
            raise BadParams("every option here is a choice", hint="")
        from agent.frontends.editors.options import shown

        served = self._of(asked.session_id)
        await served.configure(asked.config_id, asked.value)
        return EditorAnswer({"configOptions": shown(served.options)})


def prompt_text(blocks: tuple[incoming.Block, ...]) -> str:
    """The blocks of a prompt as text. Raises: BadParams, for what is none."""
    parts: list[str] = []
    for block in blocks:
        match block:
            case incoming.TextBlock(text=text):
                parts.append(text)
            case incoming.LinkBlock(uri=uri, name=name):
                parts.append(f"[{name}]({uri})" if name else uri)
            case incoming.ResourceBlock(resource=resource) if resource.text is not None:
                parts.append(f"\n{resource.uri}:\n```\n{resource.text}\n```\n")
            case _:
                raise BadParams("sessions take text, no images, sound or binary files", hint="")
    return "".join(parts)
