"""Which session the terminal UI shows, and how it gets to another one.

A session that the UI makes is a draft until its first prompt: it makes one at every start, and most of them are left
for another session. What the UI leaves goes on: it ends nothing (S6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from agent.client.terminal_text import clean
from agent.errors import Forbidden, SessionNotFound
from agent.frontends.hermes_ui.outgoing import Json
from agent.frontends.hermes_ui.session_info import UiSessionInfo, title_of
from agent.frontends.hermes_ui.session_list import SessionList
from agent.frontends.hermes_ui.ui_session import Tell, UiSession
from agent.protocol.events import Command
from agent.protocol.messages import CreateSession
from agent.protocol.methods import SESSION_CREATE

START_SECONDS = 90.0
"""A peer may have to be dialled, and an agent to be started, before a session answers."""

NEW = "New session"

Then = Callable[[], Awaitable[None]]


class UiDraft:
    """What the UI has of a session that is none yet: a name, which stays whatever the session's id is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.title = ""
        self.session = ""  # its id, once there is one

    def row(self, info: UiSessionInfo) -> Json:
        """The draft as a row of `session.active_list`."""
        return {
            "id": self.name,
            "session_key": self.name,
            "title": info.title,
            "status": "idle",
            "model": info.model,
            "preview": "",
            "message_count": 0,
            "current": True,
        }


class UiDrafts:
    """The drafts of one run of `agent hermes`."""

    def __init__(self) -> None:
        self._drafts: dict[str, UiDraft] = {}
        self._made = 0

    def new(self) -> UiDraft:
        """Make one more draft, with a name of its own."""
        self._made += 1
        draft = UiDraft(f"new-{self._made}")
        self._drafts[draft.name] = draft
        return draft

    def get(self, name: str) -> UiDraft | None:
        """The draft of a name, whether there is a session of it or not."""
        return self._drafts.get(name)

    def open(self, name: str) -> UiDraft | None:
        """The draft of a name, if there is no session of it yet."""
        draft = self._drafts.get(name)
        return draft if draft is not None and not draft.session else None

    def drop(self, name: str) -> None:
        """Forget a draft that the UI has left, or whose session it shows under its own id."""
        self._drafts.pop(name, None)

    def name_of(self, session: str) -> str:
        """What the UI calls a session: by its draft, if it was one."""
        return next((draft.name for draft in self._drafts.values() if draft.session == session), session)


class SessionSwitcher:
    """The session that the UI shows, if any, and its drafts."""

    def __init__(
        self, listing: SessionList, tasks: asyncio.TaskGroup, tell: Tell, make: CreateSession, *, wait: float
    ) -> None:
        """`make`: how new sessions are made; `wait`: seconds for a device that is out of reach."""
        self._listing = listing
        self._tasks = tasks
        self._tell = tell
        self._make = make
        self._wait = wait
        self._viewing: UiSession | None = None
        self._following: asyncio.Task[None] | None = None
        self._before = ""  # what was shown before, as the UI names it
        self._switching = asyncio.Lock()
        self.drafts = UiDrafts()
        self.current = ""  # what is shown, as the UI names it

    async def create(self) -> Json:
        """Show a new draft; the result of `session.create`."""
        async with self._switching:
            draft = self.drafts.new()
            self.leave()
            self._now(draft.name)
        return self._empty(draft)

    async def show(self, asked: str) -> tuple[Json, Then]:
        """Show another session: what of it, and what to do once the UI shows it. Raises: what attaching raises."""
        draft = self.drafts.get(asked)
        async with self._switching:
            if draft is not None and not draft.session:
                self.leave()
                self._now(draft.name)
                return self._empty(draft), _nothing
            viewing = await self._view(draft.session if draft is not None else asked, draft)
        return {**viewing.snapshot, "resumed": viewing.id}, viewing.begin

    async def close(self, name: str) -> None:
        """Leave a session that the UI thinks to end. Raises: Forbidden, where somebody wished just that."""
        draft = self.drafts.get(name)
        if name not in {self.current, self._before} and not self.drafts.open(name):
            row = self._listing.find(draft.session if draft is not None else name)
            raise Forbidden(f"{title_of(row)} goes on", hint=f"`agent close {row.id}` in a terminal ends it")
        if self.drafts.open(name):
            self.drafts.drop(name)
        if name == self.current:
            self.leave()
            self._now("")

    async def prompted(self, name: str) -> UiSession:
        """The session that a prompt is for; a draft becomes one now.

        Raises: SessionNotFound, and what making and attaching raise.
        """
        draft = self.drafts.open(name)
        if draft is not None:
            async with self._switching:
                if not draft.session:
                    await self._made(draft)
        return self.of(name)

    def of(self, name: str) -> UiSession:
        """The session that is shown, if a name means it. Raises: SessionNotFound."""
        viewing = self._viewing
        if viewing is None or name not in {viewing.shown_as, viewing.id}:
            raise SessionNotFound(f"the session {clean(name)!r} is not shown here", hint="switch to it first")
        return viewing

    def shown(self) -> UiSession:
        """The session that is shown, whichever it is. Raises: SessionNotFound."""
        if self._viewing is None:
            raise SessionNotFound("no session is shown", hint="")
        return self._viewing

    def commands(self) -> tuple[Command, ...]:
        """The commands of the agent that is shown."""
        return self._viewing.info.commands if self._viewing is not None else ()

    def leave(self) -> None:
        """Show nothing, and stop to follow what was shown."""
        if self._following is not None:
            self._following.cancel()
        self._viewing = self._following = None

    def info(self, draft: UiDraft) -> UiSessionInfo:
        """What is known of a session that is none yet."""
        on = clean(self._make.device)
        place = f"on {on}" if on else self._make.cwd
        return UiSessionInfo(draft.name, model=self._make.backend or "?", place=place, title=draft.title or NEW, on=on)

    async def _made(self, draft: UiDraft) -> None:
        asked = CreateSession(
            device=self._make.device, backend=self._make.backend, cwd=self._make.cwd, title=draft.title
        )
        made = await self._listing.request(SESSION_CREATE, asked, seconds=START_SECONDS)
        draft.session = made.session_id
        viewing = await self._view(made.session_id, draft)
        await viewing.begin()

    async def _view(self, session: str, draft: UiDraft | None) -> UiSession:
        viewing = UiSession(self._tell, session, shown_as=draft.name if draft is not None else "", wait=self._wait)
        following = self._tasks.create_task(viewing.run(self._listing.path), name="hermes.follow")
        try:
            await viewing.attached
        except BaseException:
            following.cancel()
            raise
        if draft is None:
            self.drafts.drop(self.drafts.name_of(viewing.id))
        self.leave()
        self._viewing, self._following = viewing, following
        self._now(viewing.shown_as)
        return viewing

    def _now(self, name: str) -> None:
        if name != self.current:
            self._before, self.current = self.current, name

    def _empty(self, draft: UiDraft) -> Json:
        return {
            "session_id": draft.name,
            "session_key": draft.name,
            "stored_session_id": draft.name,
            "resumed": draft.name,
            "message_count": 0,
            "messages": [],
            "running": False,
            "status": "idle",
            "info": self.info(draft).payload(),
        }


async def _nothing() -> None:
    """Nothing is to be done."""
