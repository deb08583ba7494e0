"""One question to the own service over its control socket: JSON-RPC in one HTTP request, written by hand.

`http.client` would cost 28 ms of the start-up budget, aiohttp 175 ms (measured); this is all that is needed of them.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.errors import (
    AgentError,
    BadRequest,
    Busy,
    Forbidden,
    NotRunning,
    RemoteFault,
    TimedOut,
    TooLarge,
    from_wire,
)
from agent.peercred import peer_uid

PATIENCE = 600.0
"""Seconds for which refusals are waited out; as `agent.protocol.waiting`, which costs an import."""
ANSWER_MAX = 64 * 1024 * 1024
"""Bytes of an answer: a thousand sessions of each of 64 devices."""


def check_socket(path: Path) -> None:
    """Look at the socket before connecting. Raises: NotRunning (nothing, or another thing), Forbidden (not our own)."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        raise NotRunning("the service is not running") from None
    except OSError as exc:
        raise Forbidden(f"cannot reach the service: {exc.strerror} ({path})") from exc
    if not stat.S_ISSOCK(found.st_mode):
        raise NotRunning(
            f"{path} is not the service's socket", hint="move that file away, then start the service with `agent up`"
        )
    if found.st_uid != os.getuid():
        raise Forbidden(f"{path} belongs to another user", hint="run the command as the user who runs the service")


def check_server(connection: socket.socket | None) -> None:
    """Look who listens, before anything is told: a path can change hands after it was looked at. Raises: Forbidden."""
    # None: the system does not tell. The folder is private all the same.
    if peer_uid(connection) not in {None, os.getuid()}:
        raise Forbidden("another user listens at the service's socket", hint="see who owns that folder")


class Client:
    """Asks the service, one connection a question."""

    def __init__(
        self,
        path: Path,
        *,
        seconds: float = 10.0,
        sleep: Callable[[float], None] = time.sleep,
        waits: Callable[[Busy], None] | None = None,
    ) -> None:
        """`waits` is told of a refusal that is waited out, once for each question."""
        self.path = path
        self._seconds = seconds
        self._sleep = sleep
        self._waits = waits

    def call(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        *,
        seconds: float | None = None,
        patience: float = PATIENCE,
    ) -> Any:
        """The result of one method, by its name: the types of its row in `protocol.methods` cost an import.

        `seconds` without a byte end the wait.
        A refusal that says when to come again (`retry_after`) is waited out for `patience` seconds: nothing was done
        (L8). Raises: NotRunning, Forbidden, TimedOut, BadRequest (it is no text), or the AgentError that the service
        told.
        """
        waited = 0.0
        while True:
            try:
                return self._asked(method, params, seconds)
            except Busy as exc:
                if not exc.retry_after or waited + exc.retry_after > patience:
                    raise
                if not waited and self._waits is not None:
                    self._waits(exc)
                self._sleep(exc.retry_after)
                waited += exc.retry_after

    def _asked(self, method: str, params: dict[str, Any] | None, seconds: float | None) -> Any:
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        try:
            body = json.dumps(asked, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise BadRequest(f"{method}: what is to be sent is not UTF-8 text", hint="") from None
        answer = self._exchange(body, seconds or self._seconds)
        error = answer.get("error")
        if isinstance(error, dict):
            data = error.get("data") or {}
            kind, hint = str(data.get("kind", "")), str(data.get("hint", ""))
            code, message = int(error.get("code", -32603)), str(error.get("message", ""))
            retry_after = data.get("retry_after")
            raise from_wire(
                code, message, kind, hint, float(retry_after) if isinstance(retry_after, int | float) else 0.0
            )
        if "result" not in answer:
            raise self._foreign()
        return answer["result"]

    def _exchange(self, body: bytes, seconds: float) -> dict[str, Any]:
        check_socket(self.path)
        head = (
            "POST /v1/rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            try:
                connection.connect(str(self.path))
                check_server(connection)
                connection.sendall(head.encode() + body)
                reply = _read(connection)
            except TimeoutError:
                raise TimedOut(f"the service did not answer within {seconds:g} s") from None
            except ConnectionRefusedError:
                raise NotRunning("the service is not running (it left its socket behind)") from None
            except OSError as exc:
                raise NotRunning(f"the service broke off: {exc.strerror or exc}", hint="see its log") from exc
        return self._parse(reply)

    def _parse(self, reply: bytes) -> dict[str, Any]:
        if not reply:
            raise NotRunning("the service broke off without an answer", hint="see its log, or start it with `agent up`")
        head, gap, body = reply.partition(b"\r\n\r\n")
        if not gap or not head.startswith(b"HTTP/1.1 "):
            raise self._foreign()
        status = head[9:12]
        if status == b"413":
            raise TooLarge("that is more than the service takes at once")
        if status == b"403":
            raise Forbidden("the service does not answer this user", hint="run the command as the user who runs it")
        try:
            answer = json.loads(body)
        except ValueError:
            raise self._foreign() from None
        if not isinstance(answer, dict):
            raise self._foreign()
        return answer

    def _foreign(self) -> AgentError:
        return RemoteFault(f"what listens at {self.path} is not the service", hint="stop it, then start `agent up`")


def _read(connection: socket.socket) -> bytes:
    # Reads the head, then as much body as it announces; a server that announces none closes the connection.
    reply = bytearray()
    expected: int | None = None
    while (expected is None or len(reply) < expected) and (chunk := connection.recv(65_536)):
        reply += chunk
        if expected is None and (end := reply.find(b"\r\n\r\n")) >= 0:
            for line in bytes(reply[:end]).lower().split(b"\r\n"):
                name, _, value = line.partition(b":")
                if name == b"content-length" and value.strip().isdigit():
                    expected = end + 4 + int(value)
        if max(len(reply), expected or 0) > ANSWER_MAX:
            raise TooLarge(f"the service's answer is larger than {ANSWER_MAX >> 20} MiB")
    if expected is not None and len(reply) < expected:
        raise NotRunning("the service broke off in the middle of its answer", hint="see its log")
    return bytes(reply)
