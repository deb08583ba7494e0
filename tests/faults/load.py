"""Something to be told: sessions that tick, prompts from every machine to every other, questions and their answers."""

from __future__ import annotations

import asyncio
import base64
import random
import secrets
from collections.abc import Callable

from tests.faults.clients import Client, Gone, Refused
from tests.faults.front_ends import front_ends
from tests.faults.model import Json, Model, Prompt
from tests.faults.scene import Machine, Scene, patience

TICKS = "for i in $(seq 60); do echo tick $i; sleep 0.25; done"
PROMPT_EVERY = 2.5
"""Seconds between two prompts of one machine, times 0.5 to 1.5: a paired device may send 60 a minute."""
OUTSTANDING = 4
"""Prompts of one machine that may wait for an answer at once."""
GIVEN_BACK = {"store-full", "session-ended"}
"""Refusals that are true while there is a fault, and leave the text with the person."""


async def submit(client: Client, model: Model, prompt: Prompt, text: str) -> Json | None:
    """Send a prompt as a person does: until it is taken, or a reason is told."""
    model.typed(prompt)
    try:
        told: Json = await client.insist("prompt.submit", session_id=prompt.session, prompt_id=prompt.id, text=text)
    except Refused as exc:
        prompt.state, prompt.reason = "given back", str(exc)
        model.refused[f"prompt.submit: {exc.kind}"] += 1
        if exc.kind not in GIVEN_BACK and not prompt.excused:
            model.wrong("untrue", f"prompt {prompt} was given back: {exc} (L8)")
        return None
    prompt.state = "accepted"
    return told


class Load:
    """All of it. `run` until cancelled; `quiet` ends the typing."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self._scene, self._model = scene, scene.model
        self._dice = random.Random(seed)
        self._typing = asyncio.Event()
        self._typing.set()
        self._ended: dict[str, asyncio.Event] = {}
        self._numbers = 0
        self._turns: dict[tuple[str, int], str] = {}  # session, turn -> prompt

    def tick_again(self, machine: Machine) -> None:
        """What ticks on a machine may be forgotten there: begin again."""
        for prompt, over in self._ended.items():
            if prompt.startswith(f"tick-{machine.name}-"):
                over.set()

    def quiet(self) -> None:
        """Type nothing more; what was typed goes on."""
        self._typing.clear()

    async def run(self) -> None:
        """Tick, prompt, answer."""
        try:
            await self._run()
        finally:
            for client in self._scene.clients():
                client.on_event = lambda session, event: None

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for machine in self._scene.machines:
                first, second = self._scene.watching[machine.name]
                first.on_event = self._listener(first, group)
                jobs = (
                    self._tick(machine),
                    self._prompt(machine, first),
                    self._come_and_go(second),
                    self._type(machine),
                )
                for job in jobs:
                    group.create_task(job, name=f"faults.load-{machine.name}")
            for front_end in front_ends(self._scene):
                group.create_task(front_end.run(self._typing), name=f"faults.{front_end.name}")

    def _listener(self, client: Client, group: asyncio.TaskGroup) -> Callable[[str, Json], None]:
        def heard(session: str, event: Json) -> None:
            payload = event["payload"]
            if event["type"] == "message.user":
                self._turns[session, payload["turn"]] = payload["prompt_id"]
            elif event["type"] == "turn.complete":
                done = self._ended.pop(self._turns.pop((session, payload["turn"]), ""), None)
                if done is not None:
                    done.set()
            elif event["type"] == "request.open":
                answer = self._answer(client, session, payload["request_id"])
                group.create_task(answer, name="faults.answer")

        return heard

    async def _tick(self, machine: Machine) -> None:
        client, session = self._scene.watching[machine.name][0], machine.sessions_here["ticks"]
        while True:
            await self._typing.wait()
            prompt = self._new(session, machine.name, "tick")
            over = self._ended[prompt.id] = asyncio.Event()
            told = await submit(client, self._model, prompt, f"echo {prompt.ledger} >> {machine.ledger}; {TICKS}")
            if told is None:
                await asyncio.sleep(1.0)
                continue
            try:
                async with asyncio.timeout(25.0 * patience()):
                    await over.wait()
            except TimeoutError:
                self._ended.pop(prompt.id, None)

    async def _prompt(self, machine: Machine, client: Client) -> None:
        others = [other for other in self._scene.machines if other is not machine]
        room = asyncio.Semaphore(OUTSTANDING)
        async with asyncio.TaskGroup() as group:
            while True:
                await self._pause(PROMPT_EVERY)
                await self._typing.wait()
                await room.acquire()
                other = self._dice.choice([*others, *others, machine])
                if self._dice.random() < 0.3:
                    prompt, text = self._new(other.sessions_here["asks"], machine.name, "ask"), "write it"
                    prompt.counted = False
                else:
                    prompt = self._new(other.sessions_here["work"], machine.name, "work")
                    lines = f"for i in 1 2 3; do echo {prompt.ledger} $i; sleep 0.1; done"
                    text = f"echo {prompt.ledger} >> {other.ledger}; {lines}"
                sending = group.create_task(submit(client, self._model, prompt, text), name="faults.prompt")
                sending.add_done_callback(lambda _: room.release())

    async def _answer(self, client: Client, session: str, request: str) -> None:
        await asyncio.sleep(self._dice.choice((0.0, 0.0, 1.0, 4.0)))
        try:
            told = await client.insist("request.answer", session_id=session, request_id=request, answer="once")
        except Refused as exc:
            self._model.refused[f"request.answer: {exc.kind}"] += 1
            if exc.kind not in {"store-full", "request-not-found", "session-ended"}:
                self._model.wrong("untrue", f"an answer of {client.name} to {session} was given back: {exc} (L8)")
        else:
            self._model.refused[f"request.answer, told {told['status']}"] += 1

    async def _come_and_go(self, client: Client) -> None:
        while True:
            await self._pause(12.0)
            if self._dice.random() < 0.5:
                client.anew()
            await client.leave()

    async def _type(self, machine: Machine) -> None:
        # On a terminal of another machine: what was acknowledged arrives once, what was not, once at most.
        client = self._scene.watching[machine.name][0]
        while True:
            await self._pause(6.0)
            await self._typing.wait()
            other = self._dice.choice([other for other in self._scene.machines if other is not machine])
            session = self._scene.terminals.get(other.name)
            if session is None or session not in client.screens:
                continue
            word = self._new(session, machine.name, "key").ledger
            data = base64.b64encode(f"{word}\n".encode()).decode()
            try:
                async with asyncio.timeout(60.0 * patience()):
                    await client.call("terminal.input", session_id=session, data=data)
            except (Gone, Refused, TimeoutError) as exc:
                self._model.keys[word] = session, f"unsure: {exc!r}"
            else:
                self._model.keys[word] = session, "acknowledged"

    def _new(self, session: str, by: str, kind: str) -> Prompt:
        self._numbers += 1
        name = f"{kind}-{by}-{self._numbers}"
        return Prompt(f"{name}-{secrets.token_hex(4)}", session, by, name)

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds * (0.5 + self._dice.random()))
