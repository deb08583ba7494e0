"""Programs that people use, under the same faults: `agent prompt`, `agent acp` and `agent hermes`, each on a device of
its own and on a session of another device. Each sends one prompt after the other and keeps what it is shown.
"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.e2e.device import PROGRAM
from tests.faults.model import Json, Model, Prompt
from tests.faults.scene import Machine, Scene, patience

EVERY = 4.0
"""Seconds between the end of one prompt and the next."""
PIECES = 3
"""Lines of a reply."""
WAIT = 30.0
"""Seconds for which a person looks at a prompt of which nothing is told; times `patience`."""
NOT_STORED = "cannot be written"
"""In the reason of a prompt that is given back while the disk is full."""


class FrontEnd:
    """What the three have in common: the prompt, and what becomes of it."""

    name = ""

    def __init__(self, scene: Scene, machine: Machine, host: Machine) -> None:
        self._scene, self._machine, self._host = scene, machine, host
        self._model: Model = scene.model
        self._session = host.sessions_here["front"]
        self._number = 0

    def _new(self) -> tuple[Prompt, str]:
        self._number += 1
        name = f"{self.name}-{self._number}"
        prompt = Prompt(f"{name}-{secrets.token_hex(4)}", self._session, f"{self.name} on {self._machine.name}", name)
        pieces = " ".join(str(number) for number in range(1, PIECES + 1))
        text = f"echo {name} >> {self._host.ledger}; for i in {pieces}; do echo {name} piece $i; sleep 0.2; done"
        self._model.typed(prompt, text)
        return prompt, text

    def _shown(self, prompt: Prompt, shown: str, *, whole: bool) -> None:
        # Every piece of a whole reply once, in order; of one that was cut, no piece twice.
        pieces = [line.strip() for line in shown.splitlines() if f"{prompt.ledger} piece" in line]
        wanted = [f"{prompt.ledger} piece {number}" for number in range(1, PIECES + 1)]
        self._model.compared += 1
        if pieces != (wanted if whole else wanted[: len(pieces)]):
            self._model.wrong("altered", f"{prompt.by} was shown {pieces} of prompt {prompt}")

    def _given_back(self, prompt: Prompt, reason: str, *, true: bool = False) -> None:
        prompt.state, prompt.reason = "given back", reason
        self._model.refused[f"{self.name}: {reason[:60]}"] += 1
        if not true and NOT_STORED not in reason and not prompt.excused:
            self._model.wrong("untrue", f"prompt {prompt} was given back: {reason} (L8)")

    async def run(self, typing: asyncio.Event) -> None:
        """Prompt, as long as `typing` is set; until cancelled."""
        raise NotImplementedError


class PromptCommand(FrontEnd):
    """`agent prompt SESSION TEXT`."""

    name = "command"

    async def run(self, typing: asyncio.Event) -> None:
        while True:
            await asyncio.sleep(EVERY)
            await typing.wait()
            prompt, text = self._new()
            process = await asyncio.create_subprocess_exec(
                *PROGRAM,
                *("prompt", self._session, text),
                env=self._machine.environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate()
            status, said = process.returncode, err.decode()
            if "Traceback" in said:
                self._model.wrong("traceback", f"agent prompt: {said[-800:]}")
            # 3: there was no service to take it, and that was said at once. 1: it was taken, and its turn has failed,
            # as one that was cut by a restart; or it could not be stored.
            if status in {0, 130} or (status == 1 and NOT_STORED not in said):
                prompt.state = "accepted"
                self._shown(prompt, out.decode(), whole=status == 0)
            else:
                self._given_back(prompt, f"status {status}: {said.strip()}", true=status == 3)


class Editor(FrontEnd):
    """`agent acp SESSION`, driven by a client of the Agent Client Protocol: JSON-RPC 2.0, one message a line."""

    name = "editor"

    async def run(self, typing: asyncio.Event) -> None:
        while True:
            process = await asyncio.create_subprocess_exec(
                *PROGRAM,
                *("acp", self._session),
                env=self._machine.environ,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=1 << 24,
            )
            try:
                async with asyncio.TaskGroup() as group:
                    agent = _Agent(process)
                    reading = group.create_task(agent.read(), name="faults.editor")
                    await self._edit(agent, typing)
                    reading.cancel()
            finally:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    async def _edit(self, agent: _Agent, typing: asyncio.Event) -> None:
        # Returns when the session has to be opened again.
        await agent.call("initialize", protocolVersion=1, clientCapabilities={})
        opened = await agent.call("session/load", cwd="/", sessionId=self._session, mcpServers=[])
        while "error" not in opened:
            await asyncio.sleep(EVERY)
            await typing.wait()
            prompt, text = self._new()
            agent.text = ""
            try:
                async with asyncio.timeout(WAIT * patience()):
                    told = await agent.call(
                        "session/prompt", sessionId=self._session, prompt=[{"type": "text", "text": text}]
                    )
            except TimeoutError:
                return  # it stays unsettled, unless it has run
            if "error" in told:
                self._given_back(prompt, str(told["error"].get("message")))
            else:
                prompt.state = "accepted"
                await asyncio.sleep(0.5)
                self._shown(prompt, agent.text, whole=told["result"]["stopReason"] == "end_turn")
        await asyncio.sleep(EVERY)


class _Agent:
    """The other side of the pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._waiting: dict[int, asyncio.Future[Json]] = {}
        self.text = ""

    async def call(self, method: str, **params: Any) -> Json:
        """Ask; the message that answers. If the agent ends, that is an error, too."""
        number = len(self._waiting)
        future: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        assert self._process.stdin is not None
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        with suppress(ConnectionError):
            await self._process.stdin.drain()
        return await future

    async def read(self) -> None:
        """Take what it says, to its end."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            message = json.loads(line)
            if "method" not in message:
                future = self._waiting[message["id"]]
                if not future.done():
                    future.set_result(message)
                continue
            update = (message.get("params") or {}).get("update") or {}
            if update.get("sessionUpdate") == "agent_message_chunk":
                self.text += update["content"].get("text", "")
        for future in self._waiting.values():
            if not future.done():
                future.set_result({"error": {"message": "the agent has ended"}})


class HermesUI(FrontEnd):
    """`agent hermes SESSION`: a program in place of Hermes's terminal UI says where it was told to connect."""

    name = "ui"

    async def run(self, typing: asyncio.Event) -> None:
        while True:
            async with self._started() as url, aiohttp.ClientSession() as http:
                with suppress(aiohttp.ClientError, ConnectionError):
                    async with http.ws_connect(url, max_msg_size=0) as socket:
                        await self._use(_Gateway(socket), typing)
            await asyncio.sleep(EVERY)

    async def _use(self, gateway: _Gateway, typing: asyncio.Event) -> None:
        # Returns when the session has to be opened again.
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(gateway.read(), name="faults.ui")
            opened = await gateway.call("session.resume", session_id=self._session)
            while "error" not in opened:
                await asyncio.sleep(EVERY)
                await typing.wait()
                prompt, text = self._new()
                over = gateway.wait_for(f"{prompt.ledger} piece")
                told = await gateway.call("prompt.submit", session_id=self._session, text=text)
                if "error" in told:
                    self._given_back(prompt, str(told["error"].get("message")))
                    continue
                prompt.state = "accepted"
                try:
                    async with asyncio.timeout(WAIT * patience()):
                        payload = await over
                except TimeoutError:
                    prompt.unheard = True  # its end may have been told without a word of its reply
                    break
                self._shown(prompt, payload["text"], whole=payload.get("status") == "complete")
            reading.cancel()

    @asynccontextmanager
    async def _started(self) -> AsyncIterator[str]:
        folder = self._machine.home.parent / "ui"
        told = folder / "url"
        await asyncio.to_thread(_install, folder, told)
        screen, terminal = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *PROGRAM,
            *("hermes", self._session, "--hermes", str(folder / "hermes")),
            env={**self._machine.environ, "PATH": f"{folder}:{os.environ['PATH']}", "TERM": "xterm"},
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        try:
            while not (url := _read(told)):
                if process.returncode is not None:
                    self._model.wrong("ended", f"agent hermes did not start: {os.read(screen, 4096)!r}")
                    await asyncio.sleep(EVERY)
                    break
                await asyncio.sleep(0.1)
            yield url
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            await process.wait()
            os.close(screen)


class _Gateway:
    """The other side of the socket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._waiting: list[asyncio.Future[Json]] = []
        self._wanted: list[tuple[str, asyncio.Future[Json]]] = []

    def wait_for(self, text: str) -> asyncio.Future[Json]:
        """The end of the message that contains that."""
        future: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._wanted.append((text, future))
        return future

    async def call(self, method: str, **params: Any) -> Json:
        """Ask; the message that answers. If the gateway ends, that is an error, too."""
        future: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        message = {"jsonrpc": "2.0", "id": len(self._waiting) - 1, "method": method, "params": params}
        await self._socket.send_str(json.dumps(message))
        return await future

    async def read(self) -> None:
        """Take what it says, to its end."""
        async for frame in self._socket:
            message: Json = json.loads(frame.data)
            if message.get("method") != "event":
                self._waiting[message["id"]].set_result(message)
                continue
            payload = message["params"].get("payload") or {}
            if message["params"]["type"] == "message.complete":
                for text, future in self._wanted:
                    if text in payload.get("text", "") and not future.done():
                        future.set_result(payload)
        for future in self._waiting:
            if not future.done():
                future.set_result({"error": {"message": "the gateway has ended"}})


def _install(folder: Path, told: Path) -> None:
    # In place of Hermes: a program that says where it was told to connect, and stays. In place of node: its version.
    folder.mkdir(exist_ok=True)
    told.unlink(missing_ok=True)
    ui = f'#!/bin/sh\necho "$HERMES_TUI_GATEWAY_URL" > {told}.new\nmv {told}.new {told}\nexec sleep 100000\n'
    for name, script in (("hermes", ui), ("node", "#!/bin/sh\necho v24.0.0\n")):
        (folder / name).write_text(script)
        (folder / name).chmod(0o700)


def _read(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def front_ends(scene: Scene) -> list[FrontEnd]:
    """One of each, on three devices and on sessions of three."""
    desk, laptop, pi = scene.machines
    return [PromptCommand(scene, desk, pi), Editor(scene, laptop, desk), HermesUI(scene, pi, laptop)]
