"""Supervised tasks: what fails in one ends that one, is told once, and everything else goes on (T11).

Every task of the service is one of these: a *part*, which `keep` begins anew with backoff when it fails; a
*compartment* (`spawn`: one packet, link, session, watcher), which fails by itself; a *child*, whose failure is that of
the function that waits for it; or *owned* by an object that has no `run`. `compartment` is for callbacks. What must
end the service is written down in docs/design/supervision.md: what fails before a part is ready, and `ServiceOver`.

To wait: `to_the_end` for work that is finished although whoever asked for it leaves, `within` for work that has only
so much time, an `Alarm` for the next time or for whoever rings.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from traceback import walk_tb
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from agent.errors import AgentError, Busy, ServiceOver
from agent.ports import Clock
from agent.protocol.names import clean

log = logging.getLogger(__name__)

WELL = 60.0
"""Seconds after which a part that runs counts as well: the next failure is its first one again."""
QUIET = 300.0
"""Seconds between looks at what has failed; a condition ends with the second look that finds nothing new."""
CAUSES_MAX = 64
"""Causes that are told apart; the code has few places that fail, so this is only for the unforeseen."""
PLACES = 5
"""Places in the code that a log line names, the innermost last."""

T = TypeVar("T")


def reconnect_delay(attempt: int, jitter: float) -> float:
    """Seconds to wait before connection attempt `attempt`, the first being 0.

    Doubles from 0.25 s up to 30 s, times `jitter` (0.5 to 1.0), so that devices cut off together do not return
    together. Raises: ValueError, if `attempt` is negative.
    """
    if attempt < 0:
        raise ValueError("attempt counts from 0")
    return min(30.0, 0.25 * 2.0 ** min(attempt, 7)) * jitter


class Unanswered(Exception):
    """What a task waited for was cancelled, and the task itself was not: nobody asked for its end."""


class Failures:
    """What has failed unexpectedly in this service: a log line for each cause, a health condition if it comes again."""

    def __init__(
        self,
        problem: Callable[[str, str], None] = lambda about, text: None,  # noqa: ARG005 - nobody is told
        over: Callable[[ServiceOver], None] = lambda error: None,  # noqa: ARG005 - nobody is told
    ) -> None:
        """`problem` is told what comes again, empty when it has stayed away; `over` why the service must end."""
        self._problem = problem
        self._over = over
        self._times: dict[str, int] = {}  # by cause
        self._quiet: set[str] = set()  # causes that did not come again since the last look

    def note(self, name: str, error: Exception) -> None:
        """Record that the task or callback of that name has failed. Never raises.

        Whoever is told may fail as well, such as output that nobody takes any more: then it stays unsaid.
        """
        if isinstance(error, ExceptionGroup):
            for each in error.exceptions:
                self.note(name, each)
            return
        if isinstance(error, ServiceOver):
            with suppress(Exception):
                self._over(error)
            return
        places = _places(error)
        cause = f"{type(error).__name__} in {places[-1].partition(':')[0]}"
        if cause not in self._times and len(self._times) >= CAUSES_MAX:
            cause = "many things"
        self._quiet.discard(cause)
        times = self._times[cause] = self._times.get(cause, 0) + 1
        with suppress(Exception):
            _log(name, error, places, times)
        if times == 2:
            with suppress(Exception):
                self._problem(f"failure: {cause}", _condition(name, cause, error))

    def uncaught(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Record what was raised where nobody waits, such as in a callback (`loop.set_exception_handler`)."""
        error = context.get("exception")
        if error is not None:
            self.note(str(context.get("message", "callback")), error)
        else:
            log.warning("the event loop has a complaint", extra={"what": context.get("message")})

    async def run(self, clock: Clock) -> None:
        """End conditions whose cause did not come again for `QUIET` seconds, until cancelled."""
        while True:
            await clock.sleep(QUIET)
            for cause in self._quiet:
                self._times.pop(cause, None)
                with suppress(Exception):
                    self._problem(f"failure: {cause}", "")
            self._quiet = set(self._times)


def _log(name: str, error: Exception, places: list[str], times: int) -> None:
    fields = {"task": name, "error": clean(repr(error), 300), "at": " > ".join(places)}
    if times == 1:
        log.error(
            "something failed; it alone was ended",
            extra=fields,
            exc_info=error if log.isEnabledFor(logging.DEBUG) else None,
        )
    elif times in {10, 100, 1000, 10_000, 100_000}:
        log.warning("it fails again and again", extra={**fields, "times": times})


_failures: WeakKeyDictionary[asyncio.AbstractEventLoop, Failures] = WeakKeyDictionary()


def failures() -> Failures:
    """What has failed in the service that the running loop belongs to."""
    loop = asyncio.get_running_loop()
    found = _failures.get(loop)
    if found is None:
        found = _failures[loop] = Failures()
    return found


def record(failed: Failures) -> None:
    """Have `failed` told of everything that fails in the running loop, also of what its callbacks raise."""
    loop = asyncio.get_running_loop()
    _failures[loop] = failed
    loop.set_exception_handler(failed.uncaught)


async def keep(
    run: Callable[[], Coroutine[Any, Any, None]],
    name: str,
    clock: Clock,
    *,
    ready: asyncio.Event | None = None,
    jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.0),  # noqa: S311 - spreads load, guards nothing
) -> None:
    """Run a part until it returns or is cancelled; when it fails, begin it anew after a growing pause.

    What fails before `ready` is set is raised: a service that cannot start says so and ends.
    """
    failed = 0
    while True:
        began = clock.monotonic()
        try:
            await run()
        except asyncio.CancelledError as exc:
            if _is_asked_for():
                raise
            if ready is not None and not ready.is_set():
                raise _unanswered(exc) from None
            failures().note(name, _unanswered(exc))
        except Exception as exc:
            if ready is not None and not ready.is_set():
                raise
            failures().note(name, exc)
            _raise_if_cancelled(exc)
        else:
            return
        failed = 0 if clock.monotonic() - began >= WELL else failed
        await clock.sleep(reconnect_delay(failed, jitter()))
        failed += 1


def spawn(group: asyncio.TaskGroup, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None] | None:
    """Start a compartment: if it fails it alone ends. None, if the group is ending and takes no more."""
    guarded = alone(work, name)
    try:
        task = group.create_task(guarded, name=name)
    except RuntimeError:
        guarded.close()
        work.close()
        return None
    task.add_done_callback(lambda _: work.close())  # one that was cancelled before its first step has not awaited it
    return task


async def alone(work: Coroutine[Any, Any, None], name: str) -> None:
    """Await `work`; what it raises is recorded and goes no further."""
    try:
        await work
    except asyncio.CancelledError as exc:
        if _is_asked_for():
            raise
        failures().note(name, _unanswered(exc))
    except Exception as exc:  # noqa: BLE001 - recorded, which is what this is for
        failures().note(name, exc)
        _raise_if_cancelled(exc)


def child(group: asyncio.TaskGroup, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Start a piece of what the group's own function does: if it fails the function fails, and its caller hears it."""
    return group.create_task(work, name=name)


def owned(work: Coroutine[Any, Any, T], name: str, *, awaited: bool = False) -> asyncio.Task[T]:
    """Start a task of an object that has no `run`, such as a program of a session; the object keeps it and ends it.

    What it raises is recorded, unless it is `awaited`: then its owner hears of it.
    """
    task = asyncio.get_running_loop().create_task(work, name=name)
    if not awaited:
        task.add_done_callback(_note_failure)
    return task


async def to_the_end(group: asyncio.TaskGroup, work: Coroutine[Any, Any, T], name: str) -> T:
    """Run `work` as a task of `group` and wait for it; the work goes on if the one who waits is cancelled.

    For what must not be left half done, such as a write: state and disk would be apart. Raises: what the work raises;
    Busy, if the group takes no more, or ends before the work does.
    """
    done: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    async def run() -> None:
        try:
            result = await work
        except Exception as exc:  # noqa: BLE001 - handed to who waits; the group must not end because of it
            if not done.done():
                done.set_exception(exc)
        else:
            if not done.done():
                done.set_result(result)

    def ended(_: asyncio.Task[None]) -> None:
        work.close()  # if it was cancelled before its first step
        if not done.done():
            done.set_exception(Busy("the service is stopping"))

    task = spawn(group, run(), name)
    if task is None:
        work.close()
        raise Busy("the service is stopping")
    task.add_done_callback(ended)
    return await done


async def within(seconds: float, work: Coroutine[Any, Any, T], clock: Clock, name: str) -> T | None:
    """Await `work`, but not longer than `seconds` by `clock`; None, if the time was over first: the work is cancelled.

    Raises: an ExceptionGroup of what the work raises.
    """
    async with asyncio.TaskGroup() as group:
        working = child(group, work, name)
        timer = child(group, clock.sleep(seconds), f"{name}-timer")
        await asyncio.wait((working, timer), return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        timer.cancel()
    return None if working.cancelled() else working.result()


class Alarm:
    """Wakes one waiter when somebody rings, or after a time; what rang before the wait ends it at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake the one who waits, or whoever waits next."""
        self._rung.set()

    def clear(self) -> None:
        """Forget what rang before."""
        self._rung.clear()

    async def wait(self, seconds: float | None) -> None:
        """Return when somebody rings or after that many seconds; None: only when somebody rings."""
        if seconds is None:
            await self._rung.wait()
        elif not self._rung.is_set() and seconds > 0:
            await within(seconds, self._rung.wait(), self._clock, "alarm")
        self._rung.clear()


@contextmanager
def compartment(name: str) -> Iterator[None]:
    """Record what the block raises and let it go no further: for callbacks, whose caller would be broken by it."""
    try:
        yield
    except Exception as exc:  # noqa: BLE001 - recorded, which is what this is for
        failures().note(name, exc)


def _note_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and isinstance(error := task.exception(), Exception):
        failures().note(task.get_name(), error)


def _is_asked_for() -> bool:
    # Whether a cancellation is of this task; else it is somebody else's, whose future or task was awaited.
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _unanswered(cancelled: asyncio.CancelledError) -> Unanswered:
    return Unanswered("what it waited for was cancelled").with_traceback(cancelled.__traceback__)


def _raise_if_cancelled(error: Exception) -> None:
    # Who was cancelled and raised something else while it cleaned up must not go on.
    task = asyncio.current_task()
    cancelled = task is not None and task.cancelling() > 0
    del task  # it will keep what is raised, whose traceback keeps this frame: a circle
    if cancelled:
        raise asyncio.CancelledError from error


def _places(error: Exception) -> list[str]:
    # Where it came from, outermost first: our own functions, without those of libraries between them.
    frames = [(str(frame.f_globals.get("__name__", "")), frame, line) for frame, line in walk_tb(error.__traceback__)]
    ours = [each for each in frames if each[0].startswith("agent.")]
    found = [(module, frame.f_code.co_qualname, line) for module, frame, line in (ours or frames[-1:])[-PLACES:]]
    return [f"{module.removeprefix('agent.')}.{name}:{line}" for module, name, line in found] or ["?"]


def _condition(name: str, cause: str, error: Exception) -> str:
    what = f"{name} fails again and again"
    if isinstance(error, AgentError):
        return f"{what}: {clean(error.in_full, 300)}"
    return f"{what} ({cause}), everything else goes on; the service's log says more, please report it"
