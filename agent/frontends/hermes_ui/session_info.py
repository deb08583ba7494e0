"""What the terminal UI knows of a session: the payload of `session.info`, and rows of its lists."""

from __future__ import annotations

from agent import __version__
from agent.client.terminal_text import clean, session_title
from agent.frontends.hermes_ui.outgoing import Json, UiEvent
from agent.protocol.events import Command, Option, SessionInfo, TurnComplete
from agent.protocol.model import SessionRow, Status
from agent.protocol.times import unix_seconds

STATUSES = {
    Status.STARTING: "starting",
    Status.IDLE: "idle",
    Status.WORKING: "working",
    Status.NEEDS_INPUT: "waiting",
}


class UiSessionInfo:
    """What the UI knows of one session as it is now."""

    def __init__(self, session: str, *, model: str, place: str, title: str, provider: str = "", on: str = "") -> None:
        """`place`: its directory here, or the device that it is on; `on`: that device, if it is another one."""
        self.session = session
        self.model = model
        self.place = place
        self.provider, self._on = provider, on
        self.title = titled(title, on)
        self.running = False
        self.context: Json = {}
        self.commands: tuple[Command, ...] = ()  # of the agent

    @property
    def usage(self) -> Json:
        """What is known of what the model has used: only how full its context is."""
        return {"model": self.model, "input": 0, "output": 0, "total": 0, "calls": 0, **self.context}

    def payload(self) -> Json:
        """What is known, as the payload of `session.info`."""
        return {
            "model": self.model,
            "provider": self.provider,
            "running": self.running,
            "title": self.title,
            "cwd": self.place,
            "branch": "",
            "tools": {},
            "skills": {},
            "usage": self.usage,
            "stored_session_id": self.session,
            "profile_name": "",
            "version": __version__,
        }

    def frame(self) -> UiEvent:
        """The event that tells the UI all that is known."""
        return UiEvent("session.info", self.payload())

    def told(self, news: SessionInfo) -> list[UiEvent]:
        """Take news of the session; the events that tell the UI what has changed."""
        before = self.payload()
        frames: list[UiEvent] = []
        if news.title is not None and titled(news.title, self._on) != self.title:
            self.title = titled(news.title, self._on)
            frames.append(UiEvent("session.title", {"session_id": self.session, "title": self.title}))
        if news.commands is not None:
            self.commands = news.commands
        self.model = _line(news.model or "") or _model(news.options or ()) or self.model
        return [*frames, self.frame()] if self.payload() != before else []

    def over(self, turn: TurnComplete, *, local: bool) -> UiEvent:
        """Note that a turn has ended; the event with which Hermes tells a session anew after each."""
        self.running = False
        if local and turn.cwd:
            self.place = _line(turn.cwd)
        if turn.usage is not None and turn.usage.size:
            used, size = turn.usage.used, turn.usage.size
            self.context = {"context_used": used, "context_max": size, "context_percent": round(100 * used / size)}
        return self.frame()


def info_of(row: SessionRow, options: tuple[Option, ...] = (), commands: tuple[Command, ...] = ()) -> UiSessionInfo:
    """What the UI knows of an attached session; a directory of another device would look like one here."""
    info = UiSessionInfo(
        row.id,
        model=_model(options) or model_of(row),
        place=_line(row.cwd) if row.local and row.cwd else f"on {device_of(row)}",
        title=row.title,
        provider=_line(row.backend),
        on="" if row.local else device_of(row),
    )
    info.running, info.commands = is_running(row), commands
    return info


def is_running(row: SessionRow) -> bool:
    """Whether a turn of a session runs, as its row tells."""
    return row.status in {Status.WORKING, Status.NEEDS_INPUT}


def status_of(row: SessionRow) -> str:
    """The status of a session in Hermes's words."""
    return STATUSES.get(row.status, "idle")


def model_of(row: SessionRow) -> str:
    """The model of a session; a shell has none, then what it is made of."""
    return _line(row.model) or _line(row.backend) or "?"


def device_of(row: SessionRow) -> str:
    """The name of a session's device, or its id."""
    return _line(row.device.name) or row.device.id


def title_of(row: SessionRow) -> str:
    """The title of a session, with its device if that is another one."""
    return titled(row.title, "" if row.local else device_of(row))


def titled(title: str, device: str) -> str:
    """A title, and the device that its session is on; an empty `device` is this one."""
    return session_title(title) + (f" · {device}" if device else "")


def active(row: SessionRow, shown_as: str, *, current: bool) -> Json:
    """A session as a row of `session.active_list`."""
    return {
        "id": shown_as,
        "session_key": row.id,
        "title": title_of(row),
        "status": status_of(row),
        "model": model_of(row),
        "preview": _line(row.question),
        "message_count": 0,
        "started_at": started_at(row),
        "last_active": _seconds(row.updated_at),
        "current": current,
    }


def stored(row: SessionRow, shown_as: str) -> Json:
    """A session as a row of `session.list`."""
    return {
        "id": shown_as,
        "title": title_of(row),
        "preview": "",
        "started_at": started_at(row),
        "message_count": 0,
        "source": _line(row.backend),
    }


def started_at(row: SessionRow) -> float:
    """When a session began, in Unix seconds, as far as is known."""
    return _seconds(row.created_at or row.updated_at)


def _model(options: tuple[Option, ...]) -> str:
    for option in options:
        if option.category == "model":
            return _line(next((choice.name for choice in option.choices if choice.id == option.value), option.value))
    return ""


def _seconds(text: str) -> float:
    try:
        return unix_seconds(text)
    except ValueError:
        return 0.0


def _line(text: str) -> str:
    return clean(text).strip()
