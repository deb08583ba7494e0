"""protocol.methods: the table of the wire does not contradict itself, and what is unsafe must be said."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from agent import __version__
from agent.protocol import methods
from agent.protocol.messages import Nothing, OnSession, ShareSession
from agent.protocol.methods import METHODS, NOTIFICATIONS, Method, NotificationKind, On, Right


def test_every_row_is_in_the_tables_under_its_own_name() -> None:
    rows = [row for row in vars(methods).values() if isinstance(row, Method)]
    notes = [note for note in vars(methods).values() if isinstance(note, NotificationKind)]
    assert len({row.name for row in rows}) == len(rows) == len(METHODS)
    assert len({note.name for note in notes}) == len(notes) == len(NOTIFICATIONS)
    constants = {row.name: name for name, row in vars(methods).items() if isinstance(row, Method)}
    assert constants == {name: name.upper().replace(".", "_") for name in METHODS}


@pytest.mark.parametrize("missing", ["on", "right"])
def test_a_method_without_a_right_or_a_place_does_not_import(missing: str) -> None:
    said: dict[str, Any] = {"on": On.DEVICE, "right": Right.LIST}
    del said[missing]
    with pytest.raises(TypeError):
        Method("peer.kick", Nothing, Nothing, **said)


def test_a_method_about_a_session_names_it() -> None:
    with pytest.raises(ValueError, match="about a session"):
        Method("session.kick", Nothing, Nothing, on=On.SESSION, right=Right.OWN)


def test_who_is_trusted_is_said_on_the_device_itself_and_by_no_program_in_a_session() -> None:  # T9
    wrong: tuple[dict[str, Any], ...] = ({"on": On.DEVICE}, {"on": On.SESSION}, {"on": On.LOCAL, "guarded": False})
    for said in wrong:
        with pytest.raises(ValueError, match="local and guarded"):
            Method("session.share", ShareSession, Nothing, right=Right.TRUST, **said)


def test_what_changes_anything_is_guarded_unless_the_row_says_otherwise() -> None:  # T9
    for right in Right:
        on = On.LOCAL if right is Right.TRUST else On.SESSION
        row = Method("session.kick", OnSession, Nothing, on=on, right=right)
        assert row.guarded is (right in {Right.STEER, Right.OWN, Right.TRUST})


def test_what_no_program_inside_a_session_may_call_is_this() -> None:  # T9
    # Written out beside the table: who gives a row away must say so here as well.
    assert {name for name, row in METHODS.items() if row.guarded} == {
        "device.pair", "device.close_window", "device.join", "device.unpair", "device.leave", "device.limit",
        "session.share", "session.forget",
        "page.open", "page.logout", "request.answer", "session.configure", "prompt.withdraw",
    }  # fmt: skip


def test_what_only_clients_of_the_device_itself_may_call_is_this() -> None:  # L7
    assert {name for name, row in METHODS.items() if row.on is On.LOCAL} == {
        "peer.list", "peer.watch", "session.share", "session.forget",
        "device.pair", "device.close_window", "device.join",
        "device.windows", "device.unpair", "device.list", "device.limit", "device.leave", "audit.list",
        "audit.watch", "gateway.status", "page.open", "page.logout",
    }  # fmt: skip


def test_what_only_pages_in_a_browser_may_call_is_this() -> None:
    assert {name for name, row in METHODS.items() if row.on is On.PAGE} == {"page.render", "page.keep"}


def test_a_row_has_been_there_no_longer_than_this_version() -> None:
    def number(version: str) -> tuple[int, ...]:
        return tuple(int(part) for part in version.split("."))

    since = [row.since for row in METHODS.values()] + [note.since for note in NOTIFICATIONS.values()]
    assert max(map(number, since)) <= number(__version__)


def test_the_table_costs_a_command_no_cryptography() -> None:
    # `agent interrupt` and its like ask with a row of it, and are to start at once.
    loaded = "import sys, agent.protocol.methods; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    ran = subprocess.run([sys.executable, "-c", loaded], capture_output=True, check=True, text=True)
    assert "'msgspec'" in ran.stdout
    assert not {"cryptography", "aiohttp", "spake2"} & set(ran.stdout.split("'"))
