"""What an editor is told and asked, of the Agent Client Protocol (version 1, schema 1.19)."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct

from agent.frontends.editors.incoming import Json

StopReason = Literal["end_turn", "cancelled"]


class Update(Struct, frozen=True, rename="camel", omit_defaults=True, tag_field="sessionUpdate"):
    """Base of what `session/update` carries."""


class Told(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Base of everything else that goes to a client."""


# --- updates ------------------------------------------------------------------------------------------


class Text(Struct, frozen=True, tag_field="type", tag="text"):
    """A content block."""

    text: str


class Content(Struct, frozen=True, tag_field="type", tag="content"):
    """What a tool gave."""

    content: Text


class DiffContent(Told, frozen=True, tag_field="type", tag="diff"):
    """What a tool does to a file."""

    path: str
    new_text: str
    old_text: str | None = None


class UserChunk(Update, frozen=True, tag="user_message_chunk"):
    """A prompt."""

    content: Text
    message_id: str = ""


class AgentChunk(Update, frozen=True, tag="agent_message_chunk"):
    """More of a reply."""

    content: Text
    message_id: str = ""


class ThoughtChunk(Update, frozen=True, tag="agent_thought_chunk"):
    """More of what the agent thinks."""

    content: Text
    message_id: str = ""


class ToolCall(Update, frozen=True, tag="tool_call"):
    """A tool is used."""

    tool_call_id: str
    title: str
    kind: str = "other"
    status: str = "pending"
    content: tuple[Content | DiffContent, ...] = ()
    raw_input: object = UNSET


class ToolCallUpdate(Update, frozen=True, tag="tool_call_update"):
    """What has changed of it; content replaces what was there."""

    tool_call_id: str
    title: str = ""
    status: str = ""
    content: tuple[Content | DiffContent, ...] = ()


class Entry(Told, frozen=True):
    """One step of a plan."""

    content: str
    priority: Literal["high", "medium", "low"]
    status: Literal["pending", "in_progress", "completed"]


class Plan(Update, frozen=True, tag="plan"):
    """The whole plan."""

    entries: tuple[Entry, ...]


class Usage(Update, frozen=True, tag="usage_update"):
    """How full the context is."""

    used: int
    size: int
    cost: Json | None = None


class Title(Update, frozen=True, tag="session_info_update"):
    """Another title."""

    title: str


class AvailableCommand(Told, frozen=True):
    """A prompt that begins with `/name`."""

    name: str
    description: str


class AvailableCommands(Update, frozen=True, tag="available_commands_update"):
    """All of them."""

    available_commands: tuple[AvailableCommand, ...]


class Mode(Told, frozen=True):
    """One value of the option that is the mode."""

    id: str
    name: str


class Modes(Told, frozen=True):
    """The option that is the mode."""

    current_mode_id: str
    available_modes: tuple[Mode, ...]


class Model(Told, frozen=True):
    """One value of the option that is the model."""

    model_id: str
    name: str


class Models(Told, frozen=True):
    """The option that is the model, for older clients."""

    current_model_id: str
    available_models: tuple[Model, ...]


class ConfigValue(Told, frozen=True):
    """One value of an option."""

    value: str
    name: str


class ConfigOption(Told, frozen=True, tag_field="type", tag="select"):
    """Something to set."""

    id: str
    name: str
    current_value: str
    options: tuple[ConfigValue, ...]
    category: str = ""


class CurrentMode(Update, frozen=True, tag="current_mode_update"):
    """Another mode."""

    current_mode_id: str


class ConfigOptions(Update, frozen=True, tag="config_option_update"):
    """All options, with what is set."""

    config_options: tuple[ConfigOption, ...]


# --- answers and questions -----------------------------------------------------------------------------------------


class SessionUpdate(Told, frozen=True):
    """`session/update`."""

    session_id: str
    update: Update


class SessionState(Told, frozen=True):
    """Result of `session/new`, `load` and `resume`."""

    session_id: str = ""  # of a new one
    modes: Modes | None = None
    config_options: tuple[ConfigOption, ...] = ()
    models: Models | None = None


class PromptResult(Told, frozen=True):
    """Result of `session/prompt`."""

    stop_reason: StopReason


class PermissionOption(Told, frozen=True):
    """One way to answer."""

    option_id: str
    name: str
    kind: str


class PermissionTool(Told, frozen=True):
    """What is asked about."""

    tool_call_id: str
    title: str
    content: tuple[Content, ...] = ()


class AskPermission(Told, frozen=True):
    """`session/request_permission`."""

    session_id: str
    tool_call: PermissionTool
    options: tuple[PermissionOption, ...]


class AskForm(Told, frozen=True):
    """`elicitation/create`."""

    session_id: str
    message: str
    requested_schema: Json
    mode: str


class SessionRef(Told, frozen=True):
    """One row of `session/list`."""

    session_id: str
    cwd: str
    title: str
    updated_at: str


class SessionRefs(Told, frozen=True):
    """Result of `session/list`."""

    sessions: tuple[SessionRef, ...]
