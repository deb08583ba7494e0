"""Work that is finished although whoever asked for it has left: half a write would leave state and disk apart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TypeVar

from agent.errors import AgentError, Busy
from agent.tasks import failures, spawn

log = logging.getLogger(__name__)

T = TypeVar("T")


async def to_the_end(group: asyncio.TaskGroup, work: Coroutine[None, None, T], name: str) -> T:
    """Run `work` as a task of `group` and wait for it; it goes on if the one who waits is cancelled.

    Raises: what the work raises; Busy, if the group takes no more, or ends before the work does.
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


async def tried(work: Coroutine[None, None, None], failure: str, session: str) -> None:
    """Do what nobody waits for; if it raises, the log says which `failure` that is."""
    try:
        await work
    except AgentError as exc:
        log.warning(failure, extra={"session": session, "error": str(exc)})
    except Exception as exc:  # noqa: BLE001 - recorded
        failures().note(failure, exc)
