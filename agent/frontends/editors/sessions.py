"""Questions to the own service about sessions, each on a connection of its own."""

from __future__ import annotations

from pathlib import Path

from agent.client.stream import first_error, streaming
from agent.client.terminal_text import one_line, session_title
from agent.errors import AgentError
from agent.frontends.editors.outgoing import SessionRef, SessionRefs
from agent.protocol.messages import CreateSession, History, ListSessions
from agent.protocol.methods import SESSION_CREATE, SESSION_HISTORY, SESSION_LIST, Method, P, R
from agent.protocol.model import SessionRow
from agent.protocol.waiting import Patient

SHOWN_MAX = 1000
"""Rows that are told, the newest: an editor shows them in one list."""


async def listed(path: Path, *, only: str = "", cwd: str = "") -> SessionRefs:
    """Sessions that can be attached to, of all devices, newest first; `only` the one that a selector names.

    An editor that asks for those of its directory gets sessions of other devices too: no directory there is one here.
    """
    known = await _asked(path, SESSION_LIST, ListSessions())
    wanted = await resolved(path, only) if only else ""
    rows = [row for row in known if row.attachable and wanted in ("", row.id)]
    rows.sort(key=lambda row: row.updated_at, reverse=True)
    return SessionRefs(tuple(_ref(row, cwd) for row in rows[:SHOWN_MAX]))


async def resolved(path: Path, selector: str) -> str:
    """The id of the session that a selector names. Raises: SessionNotFound, Ambiguous, and what the service tells."""
    page = await _asked(path, SESSION_HISTORY, History(session_id=selector, after=0, limit=1))
    return page.session_id or selector


async def created(path: Path, *, device: str, backend: str, cwd: str, seconds: float) -> str:
    """The id of a new session. A directory of the editor's says nothing on another device."""
    asked = CreateSession(device=device, backend=backend, cwd="" if device else cwd)
    return (await _asked(path, SESSION_CREATE, asked, seconds=seconds)).session_id


async def _asked(path: Path, method: Method[P, R], params: P, *, seconds: float = 60.0) -> R:
    failure: AgentError
    try:
        async with streaming(path, patience=0) as stream:
            if isinstance(params, Patient):
                return await stream.insist(method, params)
            return await stream.once(method, params, seconds=seconds)
    except* AgentError as group:
        failure = first_error(group)
    raise failure


def _ref(row: SessionRow, cwd: str) -> SessionRef:
    here = row.cwd or "/"
    return SessionRef(
        session_id=row.id,
        cwd=here if row.local else cwd or here,
        title=where(row) + session_title(row.title),
        updated_at=row.updated_at,
    )


def where(row: SessionRow) -> str:
    """What stands before a title: nothing for a session here, else the name of its device."""
    return "" if row.local else f"[{one_line(row.device.name) or row.device.id}] "
