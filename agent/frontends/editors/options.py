"""What may be set of a session, as modes, models and options of the Agent Client Protocol."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agent.client.terminal_text import one_line
from agent.errors import BadParams
from agent.frontends.editors.outgoing import (
    ConfigOption,
    ConfigOptions,
    ConfigValue,
    CurrentMode,
    EditorModes,
    EditorSessionState,
    Mode,
    Model,
    Models,
    Update,
)
from agent.protocol.events import Choice, Option

CATEGORIES = frozenset({"mode", "model", "model_config", "thought_level"})
"""Those that the protocol names; a client may refuse others."""


def state(session: str, options: Sequence[Option]) -> EditorSessionState:
    """What an editor gets with a session: modes and models for an older one, options for a newer one."""
    mode, model = of_category(options, "mode"), of_category(options, "model")
    return EditorSessionState(
        session_id=session,
        modes=None if mode is None else EditorModes(current_mode_id=mode.value, available_modes=_modes(mode)),
        config_options=shown(options),
        models=None if model is None else Models(current_model_id=model.value, available_models=_models(model)),
    )


def changes(before: Sequence[Option], now: Sequence[Option]) -> list[Update]:
    """The updates that tell an editor of new options, and of another mode."""
    updates: list[Update] = [ConfigOptions(config_options=shown(now))]
    old, new = of_category(before, "mode"), of_category(now, "mode")
    if new is not None and (old is None or old.value != new.value):
        updates.append(CurrentMode(current_mode_id=new.value))
    return updates


def shown(options: Sequence[Option]) -> tuple[ConfigOption, ...]:
    """Options with values to choose from: others cannot be shown."""
    return tuple(
        ConfigOption(
            id=option.id,
            name=one_line(option.name) or one_line(option.id),
            category=option.category if option.category in CATEGORIES else "",
            current_value=option.value,
            options=tuple(
                ConfigValue(value=choice.id, name=_name(choice), description=one_line(choice.description))
                for choice in option.choices
            ),
            description=one_line(option.description),
        )
        for option in options
        if option.choices
    )


def of_category(options: Sequence[Option], category: str) -> Option | None:
    """The first option of a category that has values to choose from."""
    return next((option for option in options if option.category == category and option.choices), None)


def id_of_category(options: Sequence[Option], category: str) -> str:
    """The id of the first option of a category. Raises: BadParams, if there is none."""
    option = of_category(options, category)
    if option is None:
        raise BadParams(f"the session has no {category} to set", hint="")
    return option.id


def with_value(options: Sequence[Option], option: str, value: str) -> tuple[Option, ...]:
    """The options of a session once one of them was set."""
    return tuple(msgspec.structs.replace(each, value=value) if each.id == option else each for each in options)


def _modes(option: Option) -> tuple[Mode, ...]:
    return tuple(
        Mode(id=choice.id, name=_name(choice), description=one_line(choice.description)) for choice in option.choices
    )


def _models(option: Option) -> tuple[Model, ...]:
    return tuple(
        Model(model_id=choice.id, name=_name(choice), description=one_line(choice.description))
        for choice in option.choices
    )


def _name(choice: Choice) -> str:
    return one_line(choice.name) or one_line(choice.id)
