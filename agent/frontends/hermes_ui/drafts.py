"""Sessions that the terminal UI has made and that are none yet: they become one with their first prompt."""

from __future__ import annotations

from agent.frontends.hermes_ui.frames import Json
from agent.frontends.hermes_ui.info import Info

NEW = "New session"


class Draft:
    """What the UI has of a session that is none yet: a name, which stays whatever the session's id is."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.title = ""
        self.session = ""  # its id, once there is one

    def row(self, info: Info) -> Json:
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


class Drafts:
    """The drafts of one run of `agent hermes`."""

    def __init__(self) -> None:
        self._drafts: dict[str, Draft] = {}
        self._made = 0

    def new(self) -> Draft:
        """Make one more draft, with a name of its own."""
        self._made += 1
        draft = Draft(f"new-{self._made}")
        self._drafts[draft.name] = draft
        return draft

    def get(self, name: str) -> Draft | None:
        """The draft of a name, whether there is a session of it or not."""
        return self._drafts.get(name)

    def open(self, name: str) -> Draft | None:
        """The draft of a name, if there is no session of it yet."""
        draft = self._drafts.get(name)
        return draft if draft is not None and not draft.session else None

    def drop(self, name: str) -> None:
        """Forget a draft that the UI has left, or whose session it shows under its own id."""
        self._drafts.pop(name, None)

    def name_of(self, session: str) -> str:
        """What the UI calls a session: by its draft, if it was one."""
        return next((draft.name for draft in self._drafts.values() if draft.session == session), session)
