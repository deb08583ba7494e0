"""The transcript database as a file: made, checked and opened here. docs/state.md tells what is in it."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path
from urllib.parse import quote

from agent.adapters.storage.filesystem import Abilities
from agent.errors import StateError

VERSION = 1
"""`PRAGMA user_version`. A file with a higher one is left alone."""
APPLICATION = 0x4C414754
"""`PRAGMA application_id`: tells our file from another program's database ("LAGT")."""

WHOLE = Abilities()
"""An ordinary file system."""

BUSY = 5.0
"""Seconds to wait for another program that has the file locked."""

_TABLES = """
CREATE TABLE session (
    number INTEGER PRIMARY KEY,
    id     TEXT NOT NULL UNIQUE,
    meta   BLOB NOT NULL
);
CREATE TABLE event (
    session  INTEGER NOT NULL REFERENCES session(number),
    seq      INTEGER NOT NULL,
    type     TEXT NOT NULL,
    at       TEXT NOT NULL,
    streamed INTEGER NOT NULL,
    payload  BLOB NOT NULL,
    PRIMARY KEY (session, seq)
) WITHOUT ROWID;
CREATE INDEX event_outline ON event (session, seq) WHERE streamed = 0;
"""
# WITHOUT ROWID keeps one session's events side by side, so a page of history is one scan. The partial index holds the
# few events that are not deltas: `outline` of a long session touches nothing else.


def connect(path: Path, can: Abilities = WHOLE) -> sqlite3.Connection:
    """A connection without implicit transactions that any one thread may use.

    On a file system that lacks locks or shared maps it must be the only one. Raises: sqlite3.Error.
    """
    if can.locks:
        connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
    else:  # a folder beside the file is the lock
        name = f"file:{quote(str(path))}?vfs=unix-dotfile"
        connection = sqlite3.connect(name, timeout=BUSY, isolation_level=None, check_same_thread=False, uri=True)
    try:
        if can != WHOLE:
            # Before the first access: then the index of the log is in our own memory (sqlite.org/wal.html, "noshm").
            connection.execute("PRAGMA mmap_size = 0")
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        _make_durable(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def open_database(path: Path, can: Abilities = WHOLE) -> sqlite3.Connection:
    """Open the file for writing, making it (mode 0600) if it is not there.

    Raises: StateError, if it is damaged, not ours, of a later version, or may not be opened.
    """
    try:
        _own(path)
        connection = connect(path, can)
    except OSError as exc:
        raise StateError(f"the transcripts in {path} cannot be opened: {exc}") from exc
    except sqlite3.Error as exc:
        raise StateError(f"the transcripts in {path} cannot be opened: {exc}", hint=_advice(exc)) from exc
    try:
        _prepare(path, connection)
    except sqlite3.Error as exc:
        connection.close()
        raise StateError(f"the transcripts in {path} cannot be used: {exc}", hint=_advice(exc)) from exc
    except StateError:
        connection.close()
        raise
    return connection


def _advice(exc: sqlite3.Error) -> str:
    # Only what is damaged is worth moving away: whoever does it loses all sessions.
    if (getattr(exc, "sqlite_errorcode", 0) & 0xFF) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return "restore it from a copy, or move it away with its -wal and -shm and start again: a new one is made"
    if (getattr(exc, "sqlite_errorcode", 0) & 0xFF) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return "another program has it open, on this machine or another one: end that"
    return "the file is left as it is; free some space, or put the state on a local disk (LAN_AGENT_HOME)"


def _make_durable(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = FULL")  # the log is synced at each commit: survives a power cut (S2)
    connection.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone stops at the drive's cache


def _own(path: Path) -> None:
    # SQLite gives its -wal and -shm files the mode of the database, so only this one is to be set.
    for name in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        if name.is_symlink():
            raise StateError(f"{name} is a symbolic link", hint="put the file itself there, or move the link away")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise StateError(f"{path} is not a file of this user", hint="move it away and start again")
        if found.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)  # a new file's name must survive a power cut too
    finally:
        os.close(folder)


def _prepare(path: Path, connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application != APPLICATION:
        raise StateError(f"{path} is a database of another program", hint="move it away and start again")
    if version > VERSION:
        raise StateError(
            f"the transcripts in {path} were written by a later version (schema {version}, this one knows {VERSION})",
            hint="install that version again, or move the file away",
        )
    connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA journal_size_limit = 8388608")  # bytes that the log keeps on disk between check points
    if not tables:
        connection.executescript(
            f"BEGIN IMMEDIATE; {_TABLES}PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
        )
    connection.execute("SELECT count(*), sum(length(meta)) FROM session").fetchone()
    connection.execute("SELECT seq, at FROM event ORDER BY session, seq LIMIT 1").fetchone()
