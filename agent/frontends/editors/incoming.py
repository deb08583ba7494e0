"""What an editor sends, of the Agent Client Protocol, as far as sessions here have a use for it.

Source: agentclientprotocol.com, protocol version 1, schema 1.19. What a client sends beyond this is passed over.
"""

from __future__ import annotations

from msgspec import UNSET, Raw, Struct, UnsetType

from agent.protocol.bounds import Many, Rows, Table, Whole, Word, Words
from agent.protocol.events import Scalar

VERSION = 1

RequestId = Word | Whole | None
Json = dict[str, object]
"""What is sent, never what is read."""


class Envelope(Struct, frozen=True):
    """One line of either direction."""

    id: RequestId | UnsetType = UNSET
    method: Words | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class Message(Struct, frozen=True, rename="camel"):
    """Base of what comes from a client."""


class Elicitation(Message, frozen=True):
    """How a client can ask its user."""

    form: Table[Raw] | None = None


class ClientCapabilities(Message, frozen=True):
    """What a client can do. Files and terminals of the client's are never used."""

    elicitation: Elicitation | None = None


class Initialize(Message, frozen=True):
    """`initialize`."""

    protocol_version: Whole = VERSION
    client_capabilities: ClientCapabilities | None = None


class NewSession(Message, frozen=True):
    """`session/new`; servers of MCP are not passed on."""

    cwd: Words = ""


class ListSessions(Message, frozen=True):
    """`session/list`."""

    cwd: Words | None = None


class OnSession(Message, frozen=True):
    """`session/load`, `resume`, `close`, `cancel`: the directory that comes with some is the session's own affair."""

    session_id: Words


class TextBlock(Message, frozen=True, tag_field="type", tag="text"):
    """Text of a prompt."""

    text: Words


class LinkBlock(Message, frozen=True, tag_field="type", tag="resource_link"):
    """Something that the prompt names."""

    uri: Words
    name: Words = ""


class Resource(Message, frozen=True):
    """Something that the prompt brings along; without `text` it is binary."""

    uri: Words = ""
    text: Words | None = None


class ResourceBlock(Message, frozen=True, tag_field="type", tag="resource"):
    """The same, as a block."""

    resource: Resource


class ImageBlock(Message, frozen=True, tag_field="type", tag="image"):
    """Not taken."""


class AudioBlock(Message, frozen=True, tag_field="type", tag="audio"):
    """Not taken."""


Block = TextBlock | LinkBlock | ResourceBlock | ImageBlock | AudioBlock


class Prompt(Message, frozen=True):
    """`session/prompt`."""

    session_id: Words
    prompt: Rows[Block]


class SetMode(Message, frozen=True):
    """`session/set_mode`."""

    session_id: Words
    mode_id: Words


class SetModel(Message, frozen=True):
    """`session/set_model`, which older clients have."""

    session_id: Words
    model_id: Words


class SetConfigOption(Message, frozen=True):
    """`session/set_config_option`."""

    session_id: Words
    config_id: Words
    value: Words | bool


class CancelRequest(Message, frozen=True):
    """`$/cancel_request`."""

    request_id: RequestId


class Selected(Message, frozen=True, tag_field="outcome", tag="selected"):
    """The person chose."""

    option_id: Words


class Dismissed(Message, frozen=True, tag_field="outcome", tag="cancelled"):
    """The person did not choose."""


class PermissionAnswer(Message, frozen=True):
    """What `session/request_permission` is answered with."""

    outcome: Selected | Dismissed


class ElicitationAnswer(Message, frozen=True):
    """What `elicitation/create` is answered with."""

    action: Words  # accept, decline, cancel
    content: Table[Scalar | Many[Words]] | None = None
