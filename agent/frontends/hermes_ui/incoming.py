"""What Hermes's terminal UI sends, as far as it is answered here.

Source: the `tui_gateway` of hermes-agent 0.19.0. What a message has beyond this is passed over.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from agent.protocol.bounds import Amount, Whole, Word, Words

RequestId = Word | Whole | Amount | None
Selector = Annotated[str, Meta(min_length=1, max_length=256)]


class UiRequest(Struct, frozen=True):
    """A text frame that the UI sends."""

    method: Annotated[str, Meta(max_length=128)]
    id: RequestId | UnsetType = UNSET
    params: Raw | UnsetType = UNSET


class GetConfig(Struct, frozen=True):
    """Parameters of `config.get`: which part of the configuration."""

    key: Words = ""


class ActiveList(Struct, frozen=True):
    """Parameters of `session.active_list`: the session that the UI shows."""

    current_session_id: Words | None = None


class OnUiSession(Struct, frozen=True):
    """Parameters of `session.activate`, `resume`, `history`, `usage`, `status`, `interrupt`, `close`."""

    session_id: Selector


class UiTitle(Struct, frozen=True):
    """Parameters of `session.title`: without a title, the UI asks for it."""

    session_id: Selector
    title: Annotated[str, Meta(max_length=512)] | None = None


class UiPrompt(Struct, frozen=True):
    """Parameters of `prompt.submit` and `session.steer`: a session and text."""

    session_id: Selector
    text: Words


class Complete(Struct, frozen=True):
    """Parameters of `complete.slash`: what was typed so far."""

    text: Words = ""


class Slash(Struct, frozen=True):
    """Parameters of `slash.exec` (a line) and of `command.dispatch`, which the UI tries after that (its parts)."""

    command: Words = ""
    name: Words = ""
    arg: Words = ""


class Choose(Struct, frozen=True):
    """Parameters of `approval.respond`: the question that is shown is meant, since none is named."""

    choice: Words
    session_id: Words | None = None


class Respond(Struct, frozen=True):
    """Parameters of `clarify.respond`, `sudo.respond` and `secret.respond`."""

    request_id: Words
    answer: Words = ""
    password: Words = ""
    value: Words = ""
