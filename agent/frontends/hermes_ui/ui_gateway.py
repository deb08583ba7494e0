"""The gateway that the terminal UI talks to: what it may ask, and what we answer in place of a Hermes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from msgspec import Raw

from agent.client.terminal_text import clean
from agent.errors import AgentError, BadParams, MethodNotFound, SessionNotFound
from agent.frontends.hermes_ui import incoming
from agent.frontends.hermes_ui.connection import UiAnswer, UiPeer
from agent.frontends.hermes_ui.outgoing import Json, UiEvent
from agent.frontends.hermes_ui.session_info import active, stored, title_of
from agent.frontends.hermes_ui.session_list import SessionList
from agent.frontends.hermes_ui.switcher import SessionSwitcher
from agent.frontends.hermes_ui.ui_session import UiSession
from agent.protocol.events import Command
from agent.protocol.jsonrpc import converted
from agent.protocol.messages import CreateSession, Rename
from agent.protocol.methods import SESSION_RENAME
from agent.protocol.waiting import PATIENCE

SKIN: Json = {"name": "default", "branding": {"agent_name": "Hermes via lan-agent"}}
DISPLAY: Json = {"busy_input_mode": "queue", "show_reasoning": True, "streaming": True}
"""What we decide for the UI. What is typed while a turn runs must not stop it: it may be somebody else's."""
SUBMIT_SECONDS = 10.0
"""After which the UI is told that its prompt is queued, while the service is waited for."""

Method = Callable[[Raw], Awaitable[UiAnswer]]


class UiGateway:
    """Answers the UI. One lives as long as the command; the UI may connect again."""

    def __init__(
        self,
        listing: SessionList,
        tasks: asyncio.TaskGroup,
        *,
        session: str,
        make: CreateSession,
        wait: float = PATIENCE,
    ) -> None:
        """`session`: what is shown first, by whatever names it; `make`: how new ones are made.

        `wait`: seconds for which a device that is out of reach is waited for.
        """
        self._listing = listing
        self._tasks = tasks
        self._first = session
        self._peer: UiPeer | None = None
        self._sending: set[asyncio.Task[str | AgentError]] = set()
        self._showing = SessionSwitcher(listing, tasks, self._tell, make, wait=wait)
        self._methods: dict[str, Method] = {
            "setup.status": _fixed({"provider_configured": True}),
            "pet.cells": _fixed({"enabled": False}),
            "commands.catalog": _fixed(catalog()),
            "complete.path": _fixed({"items": []}),
            "complete.slash": self._complete,
            "slash.exec": self._slash,
            "command.dispatch": self._slash,
            "input.detect_drop": _fixed({"matched": False}),
            "terminal.resize": _fixed({"ok": True}),
            "config.get": self._config,
            "session.most_recent": _fixed({"session_id": session}),
            "session.active_list": self._active_list,
            "session.list": self._list,
            "session.create": self._create,
            "session.activate": self._show,
            "session.resume": self._show,
            "session.history": self._history,
            "session.title": self._title,
            "session.usage": self._usage,
            "session.status": self._status,
            "session.interrupt": self._interrupt,
            "session.steer": self._steer,
            "session.close": self._close,
            "prompt.submit": self._submit,
            "approval.respond": self._choose,
            "clarify.respond": self._respond,
            "sudo.respond": self._respond,
            "secret.respond": self._respond,
        }

    async def serve(self, socket: web.WebSocketResponse) -> None:
        """Talk with the UI over a socket until the UI leaves."""
        self._peer = peer = UiPeer(socket)
        try:
            await peer.emit(UiEvent("gateway.ready", {"skin": SKIN}))
            await peer.run(self._handle)
        finally:
            self._peer = None
            self._showing.leave()

    def end(self) -> None:
        """Send nothing more: the UI has gone for good."""
        self._showing.leave()
        for sending in self._sending:
            sending.cancel()

    async def _handle(self, method: str, params: Raw) -> UiAnswer:
        handler = self._methods.get(method)
        if handler is None:
            raise MethodNotFound(f"lan-agent does not serve {clean(method)}", hint="")
        return await handler(params)

    async def _tell(self, frame: UiEvent, shown_as: str) -> None:
        if self._peer is not None:
            await self._peer.emit(frame, shown_as)

    async def _config(self, params: Raw) -> UiAnswer:
        # Never the person's own configuration: it holds keys, and is about agents that do not run here.
        if converted(params, incoming.GetConfig).key == "mtime":
            return UiAnswer({"mtime": 0})
        return UiAnswer({"config": {"display": {**DISPLAY, "tui_auto_resume_recent": bool(self._first)}}})

    # --- lists, and which session is shown ---------------------------------------------------------------------------

    async def _active_list(self, params: Raw) -> UiAnswer:
        drafts = self._showing.drafts
        current = converted(params, incoming.ActiveList).current_session_id or self._showing.current
        named = [(row, drafts.name_of(row.id)) for row in self._listing.rows()]
        rows = [active(row, name, current=name == current) for row, name in named]
        draft = drafts.open(current)
        if draft is not None:
            rows.insert(0, draft.row(self._showing.info(draft)))
        return UiAnswer({"sessions": rows})

    async def _list(self, params: Raw) -> UiAnswer:  # noqa: ARG002 - one signature for every method
        name_of = self._showing.drafts.name_of
        return UiAnswer({"sessions": [stored(row, name_of(row.id)) for row in self._listing.rows()]})

    async def _create(self, params: Raw) -> UiAnswer:  # noqa: ARG002 - one signature for every method
        return UiAnswer(await self._showing.create())

    async def _show(self, params: Raw) -> UiAnswer:
        return UiAnswer(*await self._showing.show(converted(params, incoming.OnUiSession).session_id))

    async def _close(self, params: Raw) -> UiAnswer:
        await self._showing.close(converted(params, incoming.OnUiSession).session_id)
        return UiAnswer({"closed": True})

    # --- the session that is shown -----------------------------------------------------------------------------------

    def _of(self, params: Raw) -> UiSession:
        return self._showing.of(converted(params, incoming.OnUiSession).session_id)

    async def _history(self, params: Raw) -> UiAnswer:
        messages = await self._of(params).history()
        return UiAnswer({"count": len(messages), "messages": messages})

    async def _title(self, params: Raw) -> UiAnswer:
        asked = converted(params, incoming.UiTitle)
        draft = self._showing.drafts.open(asked.session_id)
        if draft is not None:
            draft.title = clean(asked.title or draft.title).strip()
            return UiAnswer({"title": draft.title, "session_key": draft.name, "pending": True})
        viewing = self._showing.of(asked.session_id)
        if asked.title is None:
            return UiAnswer({"title": self._called(viewing), "session_key": viewing.id})
        await self._listing.request(SESSION_RENAME, Rename(session_id=viewing.id, title=asked.title))
        return UiAnswer({"title": asked.title, "pending": False})

    def _called(self, viewing: UiSession) -> str:
        # Without a title the list knows what stands for it, which is no event of the session.
        try:
            return title_of(self._listing.find(viewing.id))
        except SessionNotFound:
            return viewing.info.title

    async def _usage(self, params: Raw) -> UiAnswer:
        return UiAnswer(self._of(params).info.usage)

    async def _status(self, params: Raw) -> UiAnswer:
        viewing = self._of(params)
        info = viewing.info
        told = {"Session": viewing.id, "Title": self._called(viewing), "Where": info.place, "Backend": info.provider,
                "Model": info.model, "Turn running": "yes" if info.running else "no"}  # fmt: skip
        return UiAnswer({"output": "\n".join(f"{name}: {value}" for name, value in told.items() if value)})

    async def _submit(self, params: Raw) -> UiAnswer:
        asked = converted(params, incoming.UiPrompt)
        viewing = await self._showing.prompted(asked.session_id)
        sending = self._tasks.create_task(_outcome(viewing.submit(asked.text)), name="hermes.submit")
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        done, _ = await asyncio.wait({sending}, timeout=SUBMIT_SECONDS)
        if not done:
            viewing.gives_back(sending, asked.text)
            return UiAnswer({"status": "queued"})  # it goes when the device, or the service, is back
        told = sending.result()
        if isinstance(told, AgentError):
            raise told
        return UiAnswer({"status": told})

    async def _complete(self, params: Raw) -> UiAnswer:
        return UiAnswer(completions(converted(params, incoming.Complete).text, self._showing.commands()))

    async def _slash(self, params: Raw) -> UiAnswer:
        asked = converted(params, incoming.Slash)
        message = prompt_of(asked.command or f"{asked.name} {asked.arg}", self._showing.commands())
        return UiAnswer({"type": "send", "message": message})

    async def _steer(self, params: Raw) -> UiAnswer:
        asked = converted(params, incoming.UiPrompt)
        await self._showing.of(asked.session_id).steer(asked.text)
        return UiAnswer({"status": "queued", "text": asked.text})

    async def _interrupt(self, params: Raw) -> UiAnswer:
        viewing = self._of(params)
        if not await viewing.take_back():
            await viewing.interrupt()
        return UiAnswer({"status": "interrupted"})

    async def _choose(self, params: Raw) -> UiAnswer:
        viewing = self._showing.shown()
        return UiAnswer({"resolved": await viewing.choose(converted(params, incoming.Choose).choice)}, viewing.put_away)

    async def _respond(self, params: Raw) -> UiAnswer:
        asked = converted(params, incoming.Respond)
        viewing = self._showing.shown()
        status, frames = await viewing.respond(asked.request_id, asked.answer or asked.password or asked.value)
        return UiAnswer({"status": status}, lambda: viewing.put_away(frames))


async def _outcome(sending: Awaitable[str]) -> str | AgentError:
    # An error of a prompt concerns whoever typed it, not the other tasks.
    try:
        return await sending
    except AgentError as exc:
        return exc


def _fixed(result: Json) -> Method:
    async def answer(params: Raw) -> UiAnswer:  # noqa: ARG001 - one signature for every method
        return UiAnswer(result)

    return answer


OURS = {
    "help": "Commands and keys",
    "sessions": "List and switch; with an id, switch",
    "new": "Show a new session",
    "title": "Show or set the title",
    "status": "What is known of the session",
    "usage": "How full the context is",
    "steer": "Stop the turn and go first",
    "queue": "What is typed waits for the turn",
    "history": "Read the transcript",
    "copy": "Copy a reply",
    "details": "How much is shown of thoughts and tools",
    "compact": "Show less space",
    "quit": "Leave; sessions go on",
}
"""Commands that the UI has itself, with what they do here; it asks its gateway for their names."""


def catalog() -> Json:
    """Result of `commands.catalog`: the UI's own commands that work here."""
    pairs = [[f"/{name}", about] for name, about in OURS.items()]
    return {
        "pairs": pairs,
        "canon": {name: name for name, _ in pairs},
        "categories": [{"name": "Sessions of all devices", "pairs": pairs}],
        "sub": {},
    }


def completions(text: str, commands: Iterable[Command]) -> Json:
    """Result of `complete.slash`: the commands that begin like the text, the agent's first."""
    typed = text.removeprefix("/").lower()
    known = [(command.name, command.hint, command.description) for command in commands]
    known += [(name, "", about) for name, about in OURS.items()]
    items = [{"text": clean(name), "display": f"/{clean(name)} {clean(hint)}".rstrip(), "meta": clean(about)}
             for name, hint, about in known if name.lower().startswith(typed)]  # fmt: skip
    return {"items": items, "replace_from": 1}


def prompt_of(command: str, commands: Iterable[Command]) -> str:
    """The prompt that a command of the agent's is. Raises: BadParams, if the agent has no such command."""
    words = command.removeprefix("/").split(maxsplit=1)
    name = words[0] if words else ""
    if any(each.name == name for each in commands):
        return " ".join(["/" + name, *words[1:]])
    raise BadParams(f"there is no command /{clean(name)} here", hint="/help lists those that work")
