"""What Hermes's terminal UI sends, as far as it is answered here.

Source: the `tui_gateway` of hermes-agent 0.19.0. What a message has beyond this is passed over.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from agent.protocol.bounds import Amount, Whole, Word, Words

RequestId = Word | Whole | Amount | None
Selector = Annotated[str, Meta(min_length=1, max_length=256)]


class Envelope(Struct, frozen=True):
    """One text frame."""

    method: Annotated[str, Meta(max_length=128)]
    id: RequestId | UnsetType = UNSET
    params: Raw | UnsetType = UNSET


class GetConfig(Struct, frozen=True):
    """`config.get`."""

    key: Words = ""


class ActiveList(Struct, frozen=True):
    """`session.active_list`."""

    current_session_id: Words | None = None


class OnSession(Struct, frozen=True):
    """`session.activate`, `resume`, `history`, `usage`, `status`, `interrupt`, `close`."""

    session_id: Selector


class Title(Struct, frozen=True):
    """`session.title`: without a title it asks for it."""

    session_id: Selector
    title: Annotated[str, Meta(max_length=512)] | None = None


class Prompt(Struct, frozen=True):
    """`prompt.submit`, `session.steer`."""

    session_id: Selector
    text: Words


class Complete(Struct, frozen=True):
    """`complete.slash`."""

    text: Words = ""


class Slash(Struct, frozen=True):
    """`slash.exec`, with a line; `command.dispatch`, which the UI tries after that, with its parts."""

    command: Words = ""
    name: Words = ""
    arg: Words = ""


class Choose(Struct, frozen=True):
    """`approval.respond`: it names no question, the one that is shown is meant."""

    choice: Words
    session_id: Words | None = None


class Respond(Struct, frozen=True):
    """`clarify.respond`, `sudo.respond`, `secret.respond`."""

    request_id: Words
    answer: Words = ""
    password: Words = ""
    value: Words = ""
