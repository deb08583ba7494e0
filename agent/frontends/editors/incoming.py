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


class EditorMessage(Struct, frozen=True):
    """A line of JSON-RPC, in either direction between us and the editor."""

    id: RequestId | UnsetType = UNSET
    method: Words | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class EditorParams(Struct, frozen=True, rename="camel"):
    """Base of what comes from an editor; names on the wire are in camel case."""


class Elicitation(EditorParams, frozen=True):
    """How an editor can ask its user, as its capabilities tell."""

    form: Table[Raw] | None = None


class ClientCapabilities(EditorParams, frozen=True):
    """What an editor can do. Files and terminals of the editor's are never used."""

    elicitation: Elicitation | None = None


class Initialize(EditorParams, frozen=True):
    """Parameters of `initialize`: the version and the capabilities of the editor."""

    protocol_version: Whole = VERSION
    client_capabilities: ClientCapabilities | None = None


class NewSession(EditorParams, frozen=True):
    """Parameters of `session/new`; servers of MCP are not passed on."""

    cwd: Words = ""


class ListEditorSessions(EditorParams, frozen=True):
    """Parameters of `session/list`: perhaps the editor's directory."""

    cwd: Words | None = None


class OnEditorSession(EditorParams, frozen=True):
    """Parameters of `session/load`, `resume`, `close`, `cancel`; a directory that comes along is not used."""

    session_id: Words


class TextBlock(EditorParams, frozen=True, tag_field="type", tag="text"):
    """A block of a prompt that is text."""

    text: Words


class LinkBlock(EditorParams, frozen=True, tag_field="type", tag="resource_link"):
    """A block of a prompt that names something elsewhere."""

    uri: Words
    name: Words = ""


class Resource(EditorParams, frozen=True):
    """Something that a prompt brings along; without `text` it is binary."""

    uri: Words = ""
    text: Words | None = None


class ResourceBlock(EditorParams, frozen=True, tag_field="type", tag="resource"):
    """A block of a prompt that brings a resource along."""

    resource: Resource


class ImageBlock(EditorParams, frozen=True, tag_field="type", tag="image"):
    """A block of a prompt that is an image, which no session takes."""


class AudioBlock(EditorParams, frozen=True, tag_field="type", tag="audio"):
    """A block of a prompt that is sound, which no session takes."""


Block = TextBlock | LinkBlock | ResourceBlock | ImageBlock | AudioBlock


class EditorPrompt(EditorParams, frozen=True):
    """Parameters of `session/prompt`: a session and the blocks of a prompt."""

    session_id: Words
    prompt: Rows[Block]


class SetMode(EditorParams, frozen=True):
    """Parameters of `session/set_mode`: a session and one of its modes."""

    session_id: Words
    mode_id: Words


class SetModel(EditorParams, frozen=True):
    """Parameters of `session/set_model`, which older editors send."""

    session_id: Words
    model_id: Words


class SetConfigOption(EditorParams, frozen=True):
    """Parameters of `session/set_config_option`: a session, an option and its value."""

    session_id: Words
    config_id: Words
    value: Words | bool


class CancelRequest(EditorParams, frozen=True):
    """Parameters of `$/cancel_request`: which request is taken back."""

    request_id: RequestId


class Selected(EditorParams, frozen=True, tag_field="outcome", tag="selected"):
    """The person at the editor chose one of the options."""

    option_id: Words


class Dismissed(EditorParams, frozen=True, tag_field="outcome", tag="cancelled"):
    """The person at the editor did not choose."""


class PermissionAnswer(EditorParams, frozen=True):
    """What the editor answers to `session/request_permission`."""

    outcome: Selected | Dismissed


class ElicitationAnswer(EditorParams, frozen=True):
    """What the editor answers to `elicitation/create`."""

    action: Words  # accept, decline, cancel
    content: Table[Scalar | Many[Words]] | None = None
