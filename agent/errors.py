"""Errors that cross the wire or reach a person: few, typed, each ending in advice.

`kind` is the stable word in the `data` of a JSON-RPC error (docs/design/wire.md), `code` its integer, `hint` what to
do next. An `AgentError` is somebody's mistake or the network's; anything else that is raised is a bug of ours.
"""

from __future__ import annotations

import re

SCHEMA = "`agent schema` prints what is taken"


class AgentError(Exception):
    """Base of everything a user or a peer may be told. `str()` is one line that says what is wrong."""

    kind: str = "internal"
    code: int = -32603
    hint: str = ""
    text: str = ""
    """What a person is told if whoever raises the error says nothing; empty: the first line of the docstring."""
    retry_after: float = 0.0
    """Seconds after which the same is worth another try; 0.0: it is not, or nobody knows."""

    def __init__(self, message: str = "", *, hint: str | None = None, retry_after: float = 0.0) -> None:
        told = self.text or (type(self).__doc__ or "").strip().splitlines()[0].rstrip(".")
        super().__init__(message or told[:1].lower() + told[1:])
        if hint is not None:
            self.hint = hint
        self.retry_after = retry_after

    def lead_on(self, *, session: str = "", device: str = "") -> None:
        """Put what is meant into the commands of the hint, which say SESSION and DEVICE, so that they can be pasted."""
        import shlex  # noqa: PLC0415 - every command imports this module, and few have an error

        for placeholder, name in (("SESSION", session), ("DEVICE", device)):
            if name:
                parts = re.split(rf"\b{placeholder}\b", self.hint)
                self.hint = shlex.quote(name).join(parts)

    @property
    def in_full(self) -> str:
        """What is wrong and what to do next, in one line: for where one text is all there is."""
        return f"{self}; {self.hint}" if self.hint else str(self)


IN_THE_LOG = "the service's log there says more: `journalctl --user -u lan-agent`, or where `agent up` runs"
"""The hint of what is logged there, with its traceback; of nothing else."""


class BadFrame(AgentError):
    """A message that the schema does not describe."""

    kind, code, hint = "bad-frame", -32700, SCHEMA


class BadRequest(AgentError):
    """A well-formed message that is not a request, answer or notification."""

    kind, code, hint = "bad-request", -32600, SCHEMA


class MethodNotFound(AgentError):
    """This device knows no method of that name."""

    text = "no such method"
    kind, code, hint = "method-not-found", -32601, "the other device may run another version: `agent status`"


class BadParams(AgentError):
    """Parameters that the method does not take."""

    kind, code = "bad-params", -32602


class Undescribed(BadParams):
    """Parameters that the schema does not describe: nothing was looked at, and three in a row end a connection."""

    hint = SCHEMA


class SessionNotFound(AgentError):
    """No session matches what was asked for."""

    text = "no such session"
    kind, code, hint = "session-not-found", -32001, "see `agent sessions`"


class Ambiguous(AgentError):
    """Several sessions or devices match."""

    kind, code, hint = "ambiguous", -32002, "give more characters of the id"


class NotPaired(AgentError):
    """The device that is meant is not paired with this one."""

    text = "that device is not paired with this one"
    kind, code = "not-paired", -32003
    hint = "run `agent pair` on one of the two and `agent join` on the other"


class Refused(AgentError):
    """The other device does not accept this one (unpaired or revoked)."""

    kind, code = "refused", -32004
    hint = "run `agent pair` there and `agent join` here"


class PeerUnreachable(AgentError):
    """No address of the peer answered."""

    kind, code, hint = "peer-unreachable", -32005, "run `agent peers` on both devices"


class PeerLost(AgentError):
    """The link to the peer broke and did not come back in time."""

    kind, code, hint = "peer-lost", -32006, "run `agent peers`; the session goes on over there"


class Busy(AgentError):
    """Too much at once."""

    kind, code, hint = "busy", -32007, "try again in a moment"


class TooLarge(AgentError):
    """Larger than this gateway takes."""

    kind, code, hint = "too-large", -32008, "send it in pieces, or put it in a file on that device"


class TimedOut(AgentError):
    """No answer in time."""

    kind, code, hint = "timed-out", -32009, "the work may still go on: see `agent sessions`"


class StoreFull(AgentError):
    """The transcript cannot be written, so nothing was started."""

    kind, code, hint = "store-full", -32010, "free some space on that device and send it again"

    @property
    def of_a_turn(self) -> str:
        """As `in_full`, for who watches a turn that waits for room: nothing is to be sent again, or it runs twice."""
        return (
            f"{self}; free some space on that device: it goes on by itself"
            if self.hint == StoreFull.hint
            else self.in_full
        )


class LogDamaged(AgentError):
    """The session's log is damaged, so nothing is added to it."""

    kind, code = "log-damaged", -32022
    hint = "`agent log SESSION` shows what can be read, `agent close SESSION` takes the session off the list"


class BackendFailed(AgentError):
    """The session's program could not be started or has failed."""

    kind, code, hint = "backend-failed", -32011, "`agent backends` on that device shows whether it is ready"


class DeviceNotFound(AgentError):
    """No device matches what was asked for."""

    text = "no such device"
    kind, code, hint = "device-not-found", -32012, "see `agent peers`"


class PairingFailed(AgentError):
    """The devices were not paired."""

    kind, code, hint = "pairing-failed", -32013, "run `agent pair` again for a new code"


class TurnedAway(PairingFailed):
    """The other device refused the pairing, and does not say why."""


class SessionEnded(AgentError):
    """The session that is meant has ended."""

    text = "that session has ended"
    kind, code = "session-ended", -32014
    hint = "`agent log SESSION` still shows it; `agent new --again SESSION` starts it anew"


class RequestNotFound(AgentError):
    """The session asks no such question."""

    kind, code, hint = "request-not-found", -32015, "`agent log SESSION` shows what was asked"


class PromptNotFound(AgentError):
    """The session has no such prompt."""

    text = "no such prompt"
    kind, code, hint = "prompt-not-found", -32024, "`agent withdraw SESSION --list` shows what waits"


class Forbidden(AgentError):
    """Not allowed over this connection."""

    kind, code, hint = "forbidden", -32016, "run the command on that device itself"


class NotRunning(AgentError):
    """The service is not running."""

    kind, code, hint = "not-running", -32017, "start it with `agent up`"


class ConfigError(AgentError):
    """A setting is wrong."""

    kind, code, hint = "bad-config", -32018, "correct it and start again"


class StateError(AgentError):
    """A file of the service's own state cannot be used."""

    kind, code = "bad-state", -32019
    hint = "put it right or restore it from a copy, then start again"


class ServiceOver(AgentError):
    """The service cannot go on; raised anywhere in it, it stops in order (docs/design/supervision.md)."""

    kind, code, hint = "service-over", -32021, "start it again with `agent up`"


class ReadOnly(AgentError):
    """The session may be watched, and no more."""

    text = "it may be watched, and no more"
    kind, code, hint = "read-only", -32020, "ask the owner of that device for more"


class TakenBack(AgentError):
    """The request was taken back before it was sent."""

    text = "it was taken back before it was sent"
    kind, code, hint = "taken-back", -32023, ""


class RemoteFault(AgentError):
    """An error told by the other side, of a kind that this version does not know."""

    kind, code = "remote-fault", -32099


def _family(base: type[AgentError]) -> dict[str, type[AgentError]]:
    return {sub.kind: sub for sub in base.__subclasses__()}


KINDS: dict[str, type[AgentError]] = _family(AgentError)


RETRY_MIN, RETRY_MAX = 0.5, 60.0
"""Seconds after which we try again what an error asks to be tried again: never sooner; beyond, as if it did not ask."""


def from_wire(code: int, message: str, kind: str, hint: str, retry_after: float = 0.0) -> AgentError:
    """Rebuild the error that the other side told; an unknown kind becomes a `RemoteFault`.

    `retry_after` may be any number, or none: it is brought to where it can be waited out.
    """
    retry_after = max(retry_after, RETRY_MIN) if 0.0 < retry_after <= RETRY_MAX else 0.0
    error = KINDS.get(kind, RemoteFault)(message, hint=hint or None, retry_after=retry_after)
    if type(error) is RemoteFault:
        error.kind, error.code = kind or error.kind, code
    return error
