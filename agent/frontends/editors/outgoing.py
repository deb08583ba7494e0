"""What an editor is told and asked, of the Agent Client Protocol (version 1, schema 1.19)."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, field

from agent.client.turn_ends import StopReason
from agent.frontends.editors.incoming import Json


class Update(Struct, frozen=True, rename="camel", omit_defaults=True, tag_field="sessionUpdate"):
    """Base of the values that `session/update` carries."""


class Told(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Base of everything beside updates that goes to an editor."""


# --- updates ------------------------------------------------------------------------------------------


class EditorText(Struct, frozen=True, tag_field="type", tag="text"):
    """A block of text, in a prompt, a reply or a tool's content."""

    text: str


class Content(Struct, frozen=True, tag_field="type", tag="content"):
    """What a tool gave, as a block of its content."""

    content: EditorText


class DiffContent(Told, frozen=True, tag_field="type", tag="diff"):
    """What a tool does to a file, as a block of its content."""

    path: str
    new_text: str
    old_text: str | None = None


class EditorLocation(Told, frozen=True):
    """A place that a tool reads or changes; line 0 is not told."""

    path: str
    line: int = 0


class EditorUserChunk(Update, frozen=True, tag="user_message_chunk"):
    """The update that shows a prompt of somebody's."""

    content: EditorText
    message_id: str = ""


class AgentChunk(Update, frozen=True, tag="agent_message_chunk"):
    """The update that brings more of a reply."""

    content: EditorText
    message_id: str = ""


class EditorThoughtChunk(Update, frozen=True, tag="agent_thought_chunk"):
    """The update that brings more of what the agent thinks."""

    content: EditorText
    message_id: str = ""


class EditorToolCall(Update, frozen=True, tag="tool_call"):
    """The update that says that a tool is used."""

    tool_call_id: str
    title: str
    kind: str = "other"
    status: str = "pending"
    content: tuple[Content | DiffContent, ...] = ()
    raw_input: object = UNSET
    locations: tuple[EditorLocation, ...] = ()
    meta: Json | None = field(default=None, name="_meta")


class EditorToolCallUpdate(Update, frozen=True, tag="tool_call_update"):
    """The update that says what of a tool's use has changed; its content replaces what was there."""

    tool_call_id: str
    title: str = ""
    status: str = ""
    content: tuple[Content | DiffContent, ...] = ()
    locations: tuple[EditorLocation, ...] = ()


class Entry(Told, frozen=True):
    """A step of the agent's plan, as the plan lists it."""

    content: str
    priority: Literal["high", "medium", "low"]
    status: Literal["pending", "in_progress", "completed"]


class EditorPlan(Update, frozen=True, tag="plan"):
    """The update that brings the agent's whole plan."""

    entries: tuple[Entry, ...]


class EditorUsage(Update, frozen=True, tag="usage_update"):
    """The update that says how full the model's context is."""

    used: int
    size: int
    cost: Json | None = None


class EditorTitle(Update, frozen=True, tag="session_info_update"):
    """The update that gives the session another title."""

    title: str


class AvailableCommand(Told, frozen=True):
    """A command of the agent's: a prompt that begins with `/name`."""

    name: str
    description: str
    input: Json | None = None  # its hint


class AvailableCommands(Update, frozen=True, tag="available_commands_update"):
    """The update that brings all commands of the agent."""

    available_commands: tuple[AvailableCommand, ...]


class Mode(Told, frozen=True):
    """A value of the option that is the session's mode."""

    id: str
    name: str
    description: str = ""


class EditorModes(Told, frozen=True):
    """The option that is the session's mode, and its value."""

    current_mode_id: str
    available_modes: tuple[Mode, ...]


class Model(Told, frozen=True):
    """A value of the option that is the session's model."""

    model_id: str
    name: str
    description: str = ""


class Models(Told, frozen=True):
    """The option that is the session's model, for older editors."""

    current_model_id: str
    available_models: tuple[Model, ...]


class ConfigValue(Told, frozen=True):
    """A value that an option of the session takes."""

    value: str
    name: str
    description: str = ""


class ConfigOption(Told, frozen=True, tag_field="type", tag="select"):
    """An option of the session, with what it is set to."""

    id: str
    name: str
    current_value: str
    options: tuple[ConfigValue, ...]
    category: str = ""
    description: str = ""


class CurrentMode(Update, frozen=True, tag="current_mode_update"):
    """The update that says that the session has another mode."""

    current_mode_id: str


class ConfigOptions(Update, frozen=True, tag="config_option_update"):
    """The update that brings all options of the session, with what each is set to."""

    config_options: tuple[ConfigOption, ...]


# --- answers and questions -----------------------------------------------------------------------------------------


class SessionUpdate(Told, frozen=True):
    """Parameters of `session/update`: one update of one session."""

    session_id: str
    update: Update


class EditorSessionState(Told, frozen=True):
    """Result of `session/new`, `load` and `resume`."""

    session_id: str = ""  # of a new one
    modes: EditorModes | None = None
    config_options: tuple[ConfigOption, ...] = ()
    models: Models | None = None


class PromptResult(Told, frozen=True):
    """Result of `session/prompt`: why the turn has stopped."""

    stop_reason: StopReason


class PermissionOption(Told, frozen=True):
    """A way to answer `session/request_permission`."""

    option_id: str
    name: str
    kind: str
    description: str = ""


class PermissionTool(Told, frozen=True):
    """What a permission is asked for, as the use of a tool."""

    tool_call_id: str
    title: str
    content: tuple[Content, ...] = ()
    kind: str = ""
    locations: tuple[EditorLocation, ...] = ()
    meta: Json | None = field(default=None, name="_meta")


class AskPermission(Told, frozen=True):
    """Parameters of `session/request_permission`: a question with choices."""

    session_id: str
    tool_call: PermissionTool
    options: tuple[PermissionOption, ...]


class AskForm(Told, frozen=True):
    """Parameters of `elicitation/create`: a question that is a form."""

    session_id: str
    message: str
    requested_schema: Json
    mode: str


class SessionRef(Told, frozen=True):
    """A row of the result of `session/list`."""

    session_id: str
    cwd: str
    title: str
    updated_at: str


class SessionRefs(Told, frozen=True):
    """Result of `session/list`: the sessions that can be opened."""

    sessions: tuple[SessionRef, ...]
