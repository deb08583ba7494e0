"""Sessions that the terminal UI has made and that are none yet: they become one with their first prompt."""

from __future__ import annotations

from agent.frontends.hermes_ui.frames import Json
from agent.frontends.hermes_ui.info import Info

NEW = "New session"


class Draft:
    """What the UI has of it. It keeps its name there, whatever the session's id is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.title = ""
        self.session = ""  # its id, once there is one

    def row(self, info: Info) -> Json:
        """A row of `session.active_list`."""
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


class Drafts:
    """All of this command."""

    def __init__(self) -> None:
        self._drafts: dict[str, Draft] = {}
        self._made = 0

    def new(self) -> Draft:
        """One more."""
        self._made += 1
        draft = Draft(f"new-{self._made}")
        self._drafts[draft.name] = draft
        return draft

    def get(self, name: str) -> Draft | None:
        """The draft of that name."""
        return self._drafts.get(name)

    def open(self, name: str) -> Draft | None:
        """The draft of that name, if there is no session of it yet."""
        draft = self._drafts.get(name)
        return draft if draft is not None and not draft.session else None

    def drop(self, name: str) -> None:
        """The UI has left it, or shows its session under its own id."""
        self._drafts.pop(name, None)

    def name_of(self, session: str) -> str:
        """What the UI calls a session."""
        return next((draft.name for draft in self._drafts.values() if draft.session == session), session)
