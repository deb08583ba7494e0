"""tasks: what fails in one ends that one, is told once, and everything else goes on (T11)."""

from __future__ import annotations

import ast
import asyncio
import logging
from pathlib import Path

import pytest

from agent.errors import Busy, ServiceOver, StateError
from agent.tasks import (
    QUIET,
    WELL,
    Alarm,
    Failures,
    alone,
    child,
    compartment,
    failures,
    keep,
    record,
    spawn,
    to_the_end,
    within,
)
from tests.fakes.clock import FakeClock, settle

AGENT = Path(__file__).parents[1] / "agent"


class Part:
    """A part that fails when it is told to; it counts how often it began."""

    def __init__(self) -> None:
        self.begun = 0
        self._fail: asyncio.Future[None]

    async def run(self) -> None:
        self.begun += 1
        self._fail = asyncio.get_running_loop().create_future()
        await self._fail

    def fail(self, error: Exception) -> None:
        self._fail.set_exception(error)


async def fails() -> None:
    raise ValueError("what a stranger sent")


async def test_a_part_that_fails_is_begun_anew_after_a_pause_that_grows() -> None:  # T11
    clock, part = FakeClock(), Part()
    async with asyncio.TaskGroup() as group:
        kept = child(group, keep(part.run, "part", clock, jitter=lambda: 1.0), "test.part")
        await settle()
        pauses = []
        for begun in range(1, 9):
            assert part.begun == begun
            part.fail(ValueError("again"))
            before = clock.monotonic()
            while part.begun == begun:
                await clock.advance(0.25)
            pauses.append(clock.monotonic() - before)
        assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
        await clock.advance(WELL)
        part.fail(ValueError("after it was well"))
        await clock.advance(0.25)
        assert part.begun == 10
        kept.cancel()


async def test_what_fails_before_a_part_is_ready_ends_the_service() -> None:
    async def unreadable() -> None:
        raise StateError("the transcripts cannot be read")

    with pytest.raises(StateError):
        await keep(unreadable, "part", FakeClock(), ready=asyncio.Event())


async def test_a_part_that_was_cancelled_is_not_begun_anew_whatever_its_end_raises() -> None:
    begun = 0

    async def run() -> None:
        nonlocal begun
        begun += 1
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("while it tidied up")

    task = asyncio.get_running_loop().create_task(keep(run, "part", FakeClock()))
    await settle()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert begun == 1


async def test_a_compartment_that_fails_ends_itself_alone() -> None:  # T11
    async with asyncio.TaskGroup() as group:
        other = child(group, asyncio.sleep(0.0, "served"), "test.other")
        broken = spawn(group, fails(), "test.broken")
        assert broken is not None
        await asyncio.wait([broken, other])
        assert other.result() == "served"
        assert broken.exception() is None
        with compartment("test.callback"):
            raise ValueError("in a callback")


async def test_a_child_that_fails_fails_the_function_that_waits_for_it() -> None:
    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            child(group, fails(), "test.child")


async def test_a_group_that_ends_takes_no_more() -> None:
    async with asyncio.TaskGroup() as group:
        pass
    assert spawn(group, fails(), "test.late") is None


async def test_a_compartment_that_is_cancelled_before_it_began_leaves_nothing() -> None:
    async with asyncio.TaskGroup() as group:
        task = spawn(group, fails(), "test.early")  # a coroutine that nobody awaits is a warning, and fails the test
        assert task is not None
        task.cancel()
    assert task.cancelled()


async def test_what_is_done_to_the_end_fails_for_the_one_who_asked() -> None:
    async with asyncio.TaskGroup() as group:
        with pytest.raises(ValueError, match="stranger"):
            await to_the_end(group, fails(), "test.asked")


async def test_what_is_done_to_the_end_goes_on_when_the_one_who_asked_leaves() -> None:
    written: list[str] = []
    disk = asyncio.Event()

    async def write() -> None:
        await disk.wait()
        written.append("all of it")

    async with asyncio.TaskGroup() as group:
        asked = asyncio.get_running_loop().create_task(to_the_end(group, write(), "test.write"))
        await settle()
        asked.cancel()
        await asyncio.wait([asked])
        assert asked.cancelled()
        disk.set()
    assert written == ["all of it"]


async def test_what_is_done_within_a_time_answers_in_it() -> None:
    clock = FakeClock()
    assert await within(3.0, asyncio.sleep(0.0, "answered"), clock, "test.ask") == "answered"
    with pytest.raises(ExceptionGroup):
        await within(3.0, fails(), clock, "test.ask")


async def test_what_takes_longer_than_its_time_is_cancelled() -> None:
    clock, ended = FakeClock(), list[str]()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async with asyncio.TaskGroup() as group:
        waiting = child(group, within(3.0, endless(), clock, "test.ask"), "test.waiting")
        await clock.advance(2.9)
        assert not waiting.done()
        await clock.advance(0.1)
        assert waiting.result() is None
        assert ended == ["cancelled"]


async def test_an_alarm_wakes_at_its_time_or_when_somebody_rings_whichever_is_first() -> None:
    clock = FakeClock()
    alarm = Alarm(clock)
    async with asyncio.TaskGroup() as group:
        for seconds in (5.0, None):
            waiting = child(group, alarm.wait(seconds), "test.waiting")
            await clock.advance(4.9)
            assert not waiting.done()
            alarm.ring()
            await settle()
            assert waiting.done()
        waiting = child(group, alarm.wait(5.0), "test.waiting")
        await clock.advance(4.9)
        assert not waiting.done(), "it rang once"
        await clock.advance(0.1)
        assert waiting.done()


async def test_an_alarm_that_rang_before_the_wait_ends_it_at_once_unless_that_is_forgotten() -> None:
    clock = FakeClock()
    alarm = Alarm(clock)
    alarm.ring()
    alarm.ring()
    await alarm.wait(5.0)
    alarm.ring()
    await alarm.wait(None)
    alarm.ring()
    alarm.clear()
    async with asyncio.TaskGroup() as group:
        waiting = child(group, alarm.wait(5.0), "test.waiting")
        await settle()
        assert not waiting.done()
        await clock.advance(5.0)
        assert waiting.done()


async def test_a_cause_is_logged_once_in_one_line_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(100):
            await alone(fails(), "test.packet")
    first, tenth, hundredth = caplog.records
    assert (first.getMessage(), first.levelname) == ("something failed; it alone was ended", "ERROR")
    assert vars(first)["task"] == "test.packet"
    assert vars(first)["error"] == "ValueError('what a stranger sent')"
    assert "tasks.alone" in vars(first)["at"]
    assert first.exc_info is None
    assert [vars(tenth)["times"], vars(hundredth)["times"]] == [10, 100]


async def test_a_failure_that_comes_again_is_a_health_condition_until_it_stays_away() -> None:  # T11
    clock, problems = FakeClock(), dict[str, str]()
    record(Failures(problem=problems.__setitem__))
    async with asyncio.TaskGroup() as group:
        looking = child(group, failures().run(clock), "test.failures")
        await alone(fails(), "test.packet")
        assert problems == {}
        await alone(fails(), "test.packet")
        assert problems == {
            "failure: ValueError in tasks.alone": (
                "test.packet fails again and again (ValueError in tasks.alone), everything else goes on; "
                "the service's log says more, please report it"
            )
        }
        await clock.advance(QUIET)
        await alone(fails(), "test.packet")
        await clock.advance(QUIET)
        assert all(problems.values())
        await clock.advance(QUIET)
        assert problems == {"failure: ValueError in tasks.alone": ""}
        looking.cancel()


async def test_a_mistake_that_comes_again_says_what_to_do() -> None:
    async def unwritable() -> None:
        raise StateError("the key cannot be written", hint="free some space")

    problems = dict[str, str]()
    record(Failures(problem=problems.__setitem__))
    for _ in range(2):
        await alone(unwritable(), "gossip.exchange")
    assert list(problems.values()) == [
        "gossip.exchange fails again and again: the key cannot be written; free some space"
    ]


async def test_t11_who_cannot_be_told_of_a_failure_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A service whose output nobody took any more, or whose disk was full, ended at a failure that came again."""

    def unwritable(*_: object) -> None:
        raise BrokenPipeError

    class Unspeakable(Exception):
        def __repr__(self) -> str:
            raise ValueError("as its text does not say")

    async def fails_unspeakably() -> None:
        raise Unspeakable

    async def ends() -> None:
        raise ServiceOver("and nobody hears it")

    record(Failures(unwritable, unwritable))
    for _ in range(3):
        await alone(fails(), "test.packet")
        await alone(fails_unspeakably(), "test.packet")
        await alone(ends(), "test.lock")
    assert [vars(record)["error"] for record in caplog.records] == ["ValueError('what a stranger sent')"]
    clock = FakeClock()
    async with asyncio.TaskGroup() as group:
        looking = child(group, failures().run(clock), "test.failures")
        for _ in range(3):
            await clock.advance(QUIET)
        assert not looking.done()
        looking.cancel()


async def waits_for_what_is_cancelled() -> None:
    other = asyncio.get_running_loop().create_future()
    other.cancel()
    await other


async def test_a_part_whose_answer_is_cancelled_by_another_is_begun_anew(caplog: pytest.LogCaptureFixture) -> None:
    clock, begun = FakeClock(), 0

    async def run() -> None:
        nonlocal begun
        begun += 1
        await waits_for_what_is_cancelled()

    async with asyncio.TaskGroup() as group:
        kept = child(group, keep(run, "part", clock, jitter=lambda: 1.0), "test.part")
        await clock.advance(0.25)
        await clock.advance(0.5)
        assert begun == 3
        kept.cancel()
    assert kept.cancelled()
    assert [vars(record)["error"] for record in caplog.records] == ["Unanswered('what it waited for was cancelled')"]


async def test_a_compartment_whose_answer_is_cancelled_by_another_is_recorded(caplog: pytest.LogCaptureFixture) -> None:
    await alone(waits_for_what_is_cancelled(), "test.packet")
    assert [vars(record)["task"] for record in caplog.records] == ["test.packet"]


@pytest.mark.parametrize("steps", [0, 1])
async def test_who_waits_for_what_ends_with_its_group_hears_that_it_did_not_happen(steps: int) -> None:
    """It was cancelled instead, and nobody had asked for that."""
    begun: asyncio.Future[asyncio.TaskGroup] = asyncio.get_running_loop().create_future()

    async def part() -> None:
        async with asyncio.TaskGroup() as group:
            begun.set_result(group)
            await asyncio.Event().wait()

    task = asyncio.get_running_loop().create_task(part())
    asked = asyncio.get_running_loop().create_task(to_the_end(await begun, asyncio.Event().wait(), "test.write"))
    await asyncio.sleep(0)
    for _ in range(steps):
        await settle()
    task.cancel()
    with pytest.raises(Busy):
        await asked
    assert not asked.cancelling()
    await asyncio.wait([task])


async def test_what_must_end_the_service_is_told_from_anywhere() -> None:
    async def lost() -> None:
        raise ServiceOver("another service has this home now")

    over: list[ServiceOver] = []
    record(Failures(over=over.append))
    await alone(lost(), "test.lock")
    assert [str(each) for each in over] == ["another service has this home now"]


async def test_what_is_raised_in_a_callback_is_recorded_like_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    record(Failures())
    asyncio.get_running_loop().call_soon(int, "no number")
    await settle()
    assert [record.getMessage() for record in caplog.records] == ["something failed; it alone was ended"]


def test_every_task_of_the_service_is_a_part_a_compartment_or_a_child() -> None:
    """`create_task` is called in `agent.tasks` alone; a command is one job, whose failure is its end."""
    bare = [
        f"{path.relative_to(AGENT)}:{node.lineno}"
        for path in sorted(AGENT.rglob("*.py"))
        if path != AGENT / "tasks.py" and path.relative_to(AGENT).parts[0] not in {"client", "frontends"}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"create_task", "ensure_future"}
    ]
    assert bare == []
