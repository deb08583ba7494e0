"""One conversation with a model: a turn is one streamed completion."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import aiohttp

from agent.adapters.backends.openai.client import NoUsage, ServerClient, StreamedReply, TooLong
from agent.adapters.backends.openai.conversation import Conversation, Message
from agent.adapters.backends.openai.reply import ReceivedReply
from agent.adapters.backends.tasks import BackendTasks, SessionClosed
from agent.errors import BackendFailed, BadParams
from agent.ports import Described, Emit, Finished
from agent.protocol.events import Answer, Choice, Option, Usage
from agent.tasks import owned

log = logging.getLogger(__name__)

CHOICES_MAX = 256
"""Models offered (`protocol.events.Option`)."""
MODEL = "model"
"""Id of the only option."""
T = TypeVar("T")


class _Interrupted(Exception):
    """The turn was stopped."""


class _Turn:
    """One prompt and what has come of it."""

    def __init__(self, prompt: str) -> None:
        self.prompt = prompt
        self.received = ReceivedReply()
        self.stopped = False
        self.reply: StreamedReply | None = None
        self.reading: asyncio.Task[Any] | None = None

    def check(self) -> None:
        """Raises: _Interrupted, if it was stopped."""
        if self.stopped:
            raise _Interrupted

    def stop(self) -> None:
        """Hang up, whatever is under way."""
        self.stopped = True
        if self.reply is not None:
            self.reply.hang_up()
        if self.reading is not None:
            self.reading.cancel()


class ChatSession:
    """A conversation with a model (`ports.Backend`).

    What was said is kept here, bounded; after a rest or a restart it comes from the log.
    """

    def __init__(
        self,
        server: ServerClient,
        emit: Emit,
        conversation: Conversation,
        *,
        model: str,
        models: Mapping[str, str],
        context: int,
        about: Mapping[str, str] | None = None,
    ) -> None:
        """`models` are those that may be chosen, their ids by name; `model` is one of the names.

        `context`: tokens, 0: not known. `about`: what the models are, by name.
        """
        self._server = server
        self._conversation = conversation
        self._model = model
        self._models = models
        self._context = context
        self._about = about or {}
        self._usage = True  # whether to ask for it
        self._told = False  # that something was forgotten
        self._turn: _Turn | None = None
        self._tasks = BackendTasks(emit, "openai")
        self._tell = self._tasks.emit

    async def begin(self) -> None:
        """Tell which model is used and which others there are."""
        await self._tell(self._described())

    async def prompt(self, text: str) -> None:
        """Ask the model. Raises: BackendFailed, if the session is closed."""
        if self._tasks.over:
            raise BackendFailed("the conversation is closed", hint="start another session: `agent new`")
        assert self._turn is None, "one turn at a time"
        self._turn = _Turn(text)
        self._tasks.spawn(self._run(self._turn), "turn")

    async def answer(self, request_id: str, answer: Answer) -> None:
        """Do nothing: a model never asks anything."""

    async def interrupt(self) -> None:
        """Close the connection, which makes the server stop."""
        if self._turn is not None:
            self._turn.stop()

    async def close(self) -> None:
        """End the turn that runs, and let go of the connection. Idempotent."""
        if self._turn is not None:
            self._turn.stop()  # also if it is this turn that closes it, from within `emit`
        await self._tasks.close()

    async def choose(self, option: str, value: str) -> None:
        """Use another model, from the next prompt on (`ports.HasOptions`). Raises: BadParams."""
        if option != MODEL:
            raise BadParams(f"there is no option {option!r}", hint=f"there is: {MODEL}")
        if value not in self._models:
            raise BadParams(f"there is no model {value!r}", hint=f"there are: {', '.join([*self._models][:20])}")
        self._model = value
        await self._tell(self._described())

    def may_rest(self) -> bool:
        """Whether no turn runs: the log has all that was said (`ports.Rests`)."""
        return self._turn is None

    # --- a turn ------------------------------------------------------------------------------------------------------

    async def _run(self, turn: _Turn) -> None:
        kept = True  # in what is sent next; what was interrupted or cut has been read by somebody
        try:
            end = await self._talk(turn)
        except SessionClosed:
            raise
        except _Interrupted:
            end = Finished(status="interrupted")
        except (BackendFailed, aiohttp.ClientError, OSError) as exc:
            told = self._server.broken(exc)
            error = f"{told}: {told.hint}" if told.hint else str(told)
            end = self._failed(turn, error.replace(self._models[self._model], self._model))
            kept = False
        except Exception as exc:
            log.exception("a turn failed", extra={"backend": self._server.address.name})
            end = self._failed(turn, f"{exc!r}")
            kept = False
        if kept:
            self._conversation.add(turn.prompt, turn.received.said)
        self._turn = None  # the next prompt may come while the end is told
        await self._tell(end)

    def _failed(self, turn: _Turn, error: str) -> Finished:
        return Finished(status="error", cause="cut" if turn.received.said else "", error=error)

    async def _talk(self, turn: _Turn) -> Finished:
        while True:
            messages, forgotten = self._conversation.messages(turn.prompt)
            if forgotten and not self._told:
                self._told = True
                note = "the conversation is longer than the model takes: its beginning is not sent any more"
                await self._tell(Described(note=note))
            try:
                return await self._ask(turn, messages)
            except NoUsage:
                if not self._usage:
                    raise
                self._usage = False
            except TooLong:
                if turn.received.said or not self._conversation.halve(turn.prompt):
                    raise

    async def _ask(self, turn: _Turn, messages: list[Message]) -> Finished:
        body: dict[str, Any] = {"model": self._models[self._model], "messages": messages, "stream": True}
        if self._usage:
            body["stream_options"] = {"include_usage": True}
        reply = turn.reply = await self._unless_stopped(turn, self._server.chat(body))
        try:
            while chunks := await self._unless_stopped(turn, reply.more()):
                for event in turn.received.take(chunks):
                    await self._tell(event)
                    turn.check()
                if fault := next((chunk.fault for chunk in chunks if chunk.fault), None):
                    raise self._server.fault(fault)
        finally:
            turn.reply = None
            await reply.close()
        return await self._ended(turn.received, reply)

    async def _ended(self, received: ReceivedReply, reply: StreamedReply) -> Finished:
        name, stray = self._server.address.name, self._server.without_key(reply.read.stray)
        if not (reply.read.done or received.finish or received.whole):
            if stray and not received.said:
                raise BackendFailed(f"{name} sent what is no chat completion: {stray}", hint="see that server's log")
            beside = f", after what is no chat completion: {stray}" if stray else ""
            raise BackendFailed(f"{name} broke off in the middle{beside}", hint="send it again")
        if received.said and reply.read.broken:
            await self._tell(Described(note=f"{name} sent a piece that could not be read: {stray}"))
        cause, error = received.ending(stray)
        usage = Usage(used=received.tokens, size=self._context) if received.tokens else None
        return Finished(status="error" if cause else "complete", cause=cause, error=error, usage=usage)

    async def _unless_stopped(self, turn: _Turn, work: Coroutine[Any, Any, T]) -> T:
        reading: asyncio.Task[T] = owned(work, "backends.openai.read", awaited=True)
        turn.reading = reading
        try:
            turn.check()
            return await reading
        except (asyncio.CancelledError, aiohttp.ClientError, OSError):
            turn.check()  # it is we who hung up
            raise
        finally:
            reading.cancel()
            turn.reading = None

    def _described(self) -> Described:
        names = [name for name in self._models if len(name) <= 128][:CHOICES_MAX]
        choices = tuple(Choice(id=name, name=name, description=self._about.get(name, "")) for name in names)
        option = Option(id=MODEL, name="Model", value=self._model[:128], choices=choices, category=MODEL)
        return Described(model=self._model, options=(option,))
