"""sessions.catalog and `backend.list`: what sessions can be made of, here and on another device."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from agent.errors import AgentError, BadParams, DeviceNotFound, Forbidden
from agent.ports import Inspection, Installed
from agent.protocol.backends import BackendRow, ListBackends, for_others
from agent.protocol.codec import typed
from agent.protocol.messages import CreateSession
from agent.sessions.catalog import KEPT, BackendCatalog
from tests.fakes.clock import FakeClock
from tests.fakes.echo import EchoBackend
from tests.fakes.gateways import Device, network

SECRET = "/home/ada/.config/key of http://10.0.0.7:1234"


class Looked(EchoBackend):
    """Counts how often it is looked at."""

    def __init__(self, look: Callable[[], Coroutine[Any, Any, Inspection]]) -> None:
        super().__init__()
        self._look, self.looks = look, 0

    async def inspect(self) -> Inspection:
        self.looks += 1
        return await self._look()


def answers(**fields: str) -> Looked:
    async def look() -> Inspection:
        return Inspection(**fields)

    return Looked(look)


class Lacking(EchoBackend):
    def missing(self) -> str:
        return "bash is not installed"


def kind(name: str, made: EchoBackend | None, **more: str) -> Installed:
    return Installed(name=name, entry="echo", type=made, **more)


async def rows(*kinds: Installed, look: float = 1.0) -> dict[str, BackendRow]:
    found = await BackendCatalog(kinds, default="b", clock=FakeClock(), look=look).rows()
    return {row.name: row for row in found}


class Shells(EchoBackend):
    def shells(self) -> tuple[str, ...]:
        return ("zsh", "bash\x1b[2J")


class BrokenShells(EchoBackend):
    def shells(self) -> tuple[str, ...]:
        raise RuntimeError("no")


async def test_the_shells_of_a_backend_are_named_to_others_too_and_one_that_raises_has_none() -> None:
    found = await rows(kind("a", Shells()), kind("b", BrokenShells()), kind("c", EchoBackend()))
    assert {name: for_others(row).shells for name, row in found.items()} == {"a": ("zsh", "bash[2J"), "b": (), "c": ()}


async def test_what_is_ready_comes_first_and_the_default_is_marked() -> None:
    found = await rows(
        kind("a", Lacking()), kind("c", EchoBackend()), kind("b", answers(detail="1.2")), kind("0", None, problem="no")
    )
    assert [(row.name, row.ready, row.default) for row in found.values()] == [
        ("b", True, True), ("c", True, False), ("0", False, False), ("a", False, False),
    ]  # fmt: skip
    assert (found["b"].detail, found["b"].description) == ("1.2", "says what it is told")
    assert found["a"].missing == "bash is not installed"


async def test_what_is_broken_and_what_is_missing_say_why_and_how_to_mend_it() -> None:
    found = await rows(
        kind("a", None, problem="ImportError: x", hint="update it"), kind("b", answers(missing="no b", hint="get b"))
    )
    assert (found["a"].missing, found["a"].hint) == ("ImportError: x", "update it")
    assert (found["b"].missing, found["b"].hint) == ("no b", "get b")


async def test_all_are_looked_at_together_and_none_for_long() -> None:
    meeting = asyncio.Barrier(2)

    async def meet() -> Inspection:
        await meeting.wait()
        return Inspection(detail="met")

    async def hang() -> Inspection:
        await asyncio.Event().wait()
        raise AssertionError

    found = await rows(kind("a", Looked(meet)), kind("b", Looked(meet)), kind("c", Looked(hang)), look=0.05)
    assert (found["a"].detail, found["b"].detail) == ("met", "met")
    assert found["c"].missing == "it cannot be looked at: no answer in time"


async def test_one_that_raises_is_not_ready_and_harms_no_other() -> None:
    async def fail() -> Inspection:
        raise RuntimeError("bad luck")

    found = await rows(kind("a", Looked(fail)), kind("b", EchoBackend()))
    assert "bad luck" in found["a"].missing
    assert found["b"].ready


async def test_what_was_seen_is_told_again_for_some_seconds() -> None:
    clock, looked = FakeClock(), answers()
    backends = BackendCatalog([kind("a", looked)], default="a", clock=clock)
    await asyncio.gather(backends.rows(), backends.rows())
    assert looked.looks == 1
    await clock.advance(KEPT - 0.1)
    await backends.rows()
    assert looked.looks == 1
    await clock.advance(0.1)
    await backends.rows()
    assert looked.looks == 2


async def test_texts_of_programs_are_one_clean_line() -> None:
    # T10: a version or a model's name comes from elsewhere.
    found = await rows(kind("a", answers(detail="\x1b[31mred\nline\u202e")))
    assert found["a"].detail == "[31mred line"


# --- over links ------------------------------------------------------------------------------------------------------


async def ask(device: Device, on: str = "") -> dict[str, BackendRow]:
    async with device.client() as viewer:
        raw = await viewer.channel.request("backend.list", ListBackends(device=on), seconds=30.0)
    return {row.name: row for row in typed(raw, tuple[BackendRow, ...])}


async def refusal(device: Device, method: str, params: object) -> AgentError:
    async with device.client() as viewer:
        with pytest.raises(AgentError) as told:
            await viewer.ask(method, params)
    return told.value


async def test_a_device_tells_its_owner_all_and_a_member_what_is_no_secret() -> None:
    async with network("desk", "laptop") as (_, (desk, laptop)):
        desk.kinds += [
            kind("local", answers(detail=SECRET)),
            kind("gone", answers(missing=f"nothing at {SECRET}", hint=f"see {SECRET}")),
            kind("bad", None, problem=f"ImportError: {SECRET}", hint=SECRET),
        ]
        own = await ask(desk)
        assert own["local"].detail == SECRET
        assert SECRET in own["gone"].missing
        assert await ask(desk, "desk") == own
        seen = await ask(laptop, "desk")
        assert "ada" not in repr(seen)
        assert {name: row.ready for name, row in seen.items()} == {name: row.ready for name, row in own.items()}
        assert seen["gone"].missing == "it cannot be used there yet"
        assert seen["gone"].hint == "`agent backends` on that device says why"
        assert seen["echo"].default
        assert list(await ask(laptop)) == ["echo"]


async def test_a_guest_and_a_host_are_not_told() -> None:
    async with network("desk", "laptop") as (_, (desk, laptop)):
        for role in ("guest", "host"):
            desk.limit(laptop, role=role)
            assert isinstance(await refusal(laptop, "backend.list", ListBackends(device="desk")), Forbidden)
        desk.limit(laptop, role="member", read_only=True)
        assert await ask(laptop, "desk")  # to look is not to change


async def test_of_a_third_device_nobody_is_told() -> None:
    # L7: one hop.
    async with network("desk", "laptop", "pi") as (_, (desk, laptop, pi)):
        pi.kinds[:] = []
        link = await laptop.peers.link(desk.id)
        raw = await link.channel.request("backend.list", ListBackends(device="pi"), seconds=5.0)
        assert [row.name for row in typed(raw, tuple[BackendRow, ...])] == ["echo"]


async def test_no_such_device_is_told() -> None:
    async with network("desk") as (_, (desk,)):
        assert isinstance(await refusal(desk, "backend.list", ListBackends(device="nowhere")), DeviceNotFound)


async def test_an_unknown_backend_names_the_command_that_lists_them() -> None:
    async with network("my desk", "laptop") as (_, (desk, laptop)):
        for device, on in ((desk, ""), (laptop, "my desk")):
            error = await refusal(device, "session.create", CreateSession(device=on, backend="ech"))
            assert isinstance(error, BadParams)
            assert str(error) == "no backend 'ech' on my desk"
            assert error.hint.startswith("did you mean echo? there are: echo")
            assert error.hint.endswith("; see `agent backends --on 'my desk'`")


def test_rows_only_grow() -> None:
    assert msgspec.structs.asdict(BackendRow(name="a", kind="b", description="c", ready=True, default=False)) == {
        "name": "a", "kind": "b", "description": "c", "ready": True, "default": False, "detail": "", "missing": "",
        "hint": "", "shells": (),
    }  # fmt: skip
