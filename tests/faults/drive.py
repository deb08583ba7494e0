"""Runs a schedule: lets things fail, mends them, waits until every client has heard what there is to hear."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.faults import faults
from tests.faults.clients import Client, now
from tests.faults.figures import Figures
from tests.faults.load import Load
from tests.faults.model import Log
from tests.faults.scene import Machine, Scene, patience, scene
from tests.faults.schedule import ENDS_PROGRAMS, Fault, Round, text

SILENT = 15.0
"""Seconds after the last fault in which every client must have heard what there was; times `patience`."""
LOOK = 0.05
"""Seconds between two looks at who has heard."""
READ_EVERY = 5
"""Rounds after which the hosts' logs are read."""
SETTLE = 45.0
"""Seconds at the end in which every prompt must come to an end; times `patience`."""


class Head(NamedTuple):
    """Where the log of a session is, as its host says."""

    log: Log
    epoch: str
    seq: int


class Run:
    """One run."""

    def __init__(self, made: Scene, load: Load, say: Callable[[str], None]) -> None:
        self._scene, self._load, self._say = made, load, say
        self._model = made.model
        self.figures = Figures(made.model)
        self.done: list[Round] = []
        self._silenced: set[Client] = set()  # they were told of in this round, and have begun anew

    async def rounds(self, schedule: Iterator[Round] | Sequence[Round], until: float, stop_at: int) -> None:
        """Run rounds, to the end of the schedule, of the time (monotonic), or that many violations."""
        await self._recovered("start", now(), set(self._scene.by_name))
        for machine in self._scene.machines:
            await asyncio.to_thread(machine.keep_copy_of_running)
        for together in schedule:
            if now() > until or len(self._model.violations) >= stop_at:
                break
            self._model.round = len(self.done)
            self.done.append(together)
            before = len(self._model.violations)
            await self._round(together)
            if len(self._model.violations) > before:
                wrong = self._model.violations[before]
                self._say(f"round {wrong.round} ({text([together])}): {wrong.kind}: {wrong.what}")

    async def finish(self) -> None:
        """Let all prompts come to an end, read everything, and judge."""
        self._load.quiet()
        end = now() + SETTLE * patience()
        await self._scene.read_logs()
        while self._model.unsettled() and now() < end:
            await asyncio.sleep(1.0)
            await self._scene.read_logs()
        ran = self._scene.ran()
        for machine in self._scene.machines:
            self._model.judge(ran, set(machine.sessions_here.values()))
            self.figures.tracebacks += machine.tracebacks()
        self._model.judge_keys(ran, set(self._scene.terminals.values()))

    async def _round(self, together: Round) -> None:
        name = self.figures.took_place(together)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._fault(fault), name=f"faults.{fault.kind}") for fault in together]
        mended = max(task.result() for task in tasks)
        devices = {fault.device for fault in together}
        for machine in self._scene.machines:
            if not machine.runs():
                self._model.wrong("ended", f"the service of {machine.name} ended by itself: {machine.said()[-800:]}")
                await asyncio.to_thread(machine.started, self._model)
            self.figures.memory.setdefault(machine.name, []).append(machine.rss())
        await self._recovered(name, mended, devices)
        if len(self.done) % READ_EVERY == 0:
            await self._scene.read_logs()

    async def _fault(self, fault: Fault) -> float:
        machine = self._scene.by_name[fault.device]
        if fault.kind == "restore":
            await self._settle_for_restore(machine)
        if fault.kind in ENDS_PROGRAMS and machine.name in self._scene.terminals:
            self._model.ended.add(self._scene.terminals[machine.name])
        await asyncio.to_thread(faults.begin, machine, fault, self._model)
        if fault.kind == "restore":  # what was typed until the copy was back
            self._model.restored(set(machine.sessions_here.values()))
            self._load.tick_again(machine)
        await asyncio.sleep(fault.seconds)
        return await asyncio.to_thread(faults.end, machine, fault, self._model)

    async def _settle_for_restore(self, machine: Machine) -> None:
        # Judge what has come to an end; of the rest, and of what follows until the copy is back, nothing can be known.
        await self._scene.read_logs()
        sessions = set(machine.sessions_here.values())
        waiting = {prompt.id: prompt for prompt in self._model.unsettled() if prompt.session in sessions}
        for prompt in waiting.values():
            prompt.excused = True
        self._model.judge(self._scene.ran(), sessions)
        self._model.restored(sessions)
        self._model.another_log(sessions)

    # --- who has heard -----------------------------------------------------------------------------------------------

    async def _recovered(self, name: str, mended: float, devices: set[str]) -> None:
        # Notes how long it took until something new was heard over each pair of devices that a fault was between.
        pairs = [
            (machine, client, host.sessions_here["ticks"])
            for machine in self._scene.machines
            for client in self._scene.watching[machine.name][:1]
            for host in self._scene.machines
            if host is not machine and {machine.name, host.name} & devices
        ]
        heads = asyncio.create_task(self._heads(), name="faults.heads")  # noqa: TID251 - awaited below
        end = now() + SILENT * patience()
        self._silenced.clear()
        while pairs and now() < end:
            for pair in list(pairs):
                if (heard := pair[1].heard.get(pair[2], 0.0)) > mended:
                    pairs.remove(pair)
                    self.figures.recovery[name].append(heard - mended)
            await asyncio.sleep(LOOK)
        wanted = await heads
        if pairs:  # unless there was nothing to hear
            now_at = {head.log[0]: head for head in await self._heads()}
            await asyncio.sleep(1.0)
            for _, client, session in pairs:
                if session in now_at and not client.places[session].is_at(*now_at[session]):
                    self._silent(client, session, f"of its ticks, which are at {now_at[session]}")
        behind = self._behind(wanted)
        while behind and now() < end:
            await asyncio.sleep(LOOK)
            behind = self._behind(wanted)
        for client, head in behind:
            if client not in self._silenced:
                self._silent(client, head.log[0], f"up to {head}")
        for machine in self._scene.machines:
            await self._terminal(machine, mended, end)

    async def _heads(self) -> list[Head]:
        found = []
        for machine in self._scene.machines:
            for session in machine.sessions_here.values():
                page = await self._scene.ask(machine.name, "session.history", session_id=session, limit=1)
                if page is None:
                    self._model.wrong("unanswered", f"the service of {machine.name} does not answer")
                else:
                    found.append(Head(self._model.log_now(session), page["epoch"], page["seq"]))
        return found

    def _behind(self, heads: Sequence[Head]) -> list[tuple[Client, Head]]:
        return [
            (client, head)
            for client in self._scene.clients()
            if client not in self._silenced
            for head in heads
            if not client.places[head.log[0]].is_at(*head)
        ]

    def _silent(self, client: Client, session: str, what: str) -> None:
        place = client.places[session]
        host = self._scene.host_of(session).name
        where = f"it is at {place.seq} of {place.epoch}, link: {client.links.get(session)}"
        where += f", connected: {client.connected}, attaching: {client.is_attaching(session)}"
        said = self._seen_from(client.name.rpartition("-")[0], host)
        self._model.wrong("silent", f"{client.name} hears nothing {what} in {session} on {host}: {where}; {said}")
        self._silenced.add(client)
        client.start_over()

    def _seen_from(self, device: str, other: str) -> str:
        machine = self._scene.by_name[device]
        rows = [row for row in machine.ask("peer.list", default=[]) if row["name"] == other]
        shown = [{key: row.get(key) for key in ("state", "linked", "addresses", "reason")} for row in rows]
        return f"{device} lists {other} as {shown}"

    async def _terminal(self, machine: Machine, mended: float, end: float) -> None:
        session = self._scene.terminals.get(machine.name)
        rows = await self._scene.ask(machine.name, "session.list", scope="local") or []
        if not any(row["id"] == session and row["status"] != "ended" for row in rows):
            await self._scene.make_terminal(machine)
            return
        for client in self._scene.clients():
            while (
                client not in self._silenced and session in client.screens and client.heard.get(session, 0.0) < mended
            ):
                if now() > end:
                    self._model.wrong(
                        "silent", f"{client.name} hears nothing of the terminal {session} on {machine.name}"
                    )
                    self._silenced.add(client)
                    client.start_over()
                await asyncio.sleep(LOOK)


class Result(NamedTuple):
    """Of a run."""

    figures: Figures
    schedule: list[Round]

    @property
    def failed(self) -> bool:
        """Whether anything went wrong."""
        return bool(self.figures.model.violations or self.figures.tracebacks)


async def drive(
    schedule: Iterator[Round] | Sequence[Round],
    say: Callable[[str], None],
    *,
    seconds: float = 3600.0,
    seed: int = 1,
    stop_at: int = 200,
    logs: Path | None = None,
) -> Result:
    """Run that schedule on a fresh scene, for so many seconds at most, or until there are that many violations.

    The logs of the services are kept in the folder `logs`.
    """
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        async with scene(Path(folder), say) as made:
            began = now()
            load = Load(made, seed)
            run = Run(made, load, say)
            async with asyncio.TaskGroup() as group:
                loading = group.create_task(load.run(), name="faults.load")
                await run.rounds(schedule, began + seconds, stop_at)
                await run.finish()
                loading.cancel()
            run.figures.seconds = now() - began
            if logs is not None:
                await asyncio.to_thread(_keep, made, logs)
        return Result(run.figures, run.done)


def _keep(made: Scene, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for machine in made.machines:
        (folder / f"{machine.name}.log").write_text(machine.said())
