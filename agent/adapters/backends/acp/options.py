"""The options of an agent's session: modes, models and others, however the agent tells of them."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from agent.adapters.backends.acp.schema import ABSENT
from agent.errors import BadParams
from agent.ports import Described
from agent.protocol.bounds import Many, Words
from agent.protocol.events import Choice, Option
from agent.protocol.lenient import read

MODE, MODEL = "mode", "model"
"""Ids and categories."""


class _Mode(Struct):
    id: Words
    name: Words = ""
    description: Words | None = None


class _Modes(Struct):
    current: Words = msgspec.field(default="", name="currentModeId")
    available: Many[_Mode] = msgspec.field(default_factory=list, name="availableModes")


class _Model(Struct):
    id: Words = msgspec.field(name="modelId")
    name: Words = ""
    description: Words | None = None


class _Models(Struct):
    current: Words = msgspec.field(default="", name="currentModelId")
    available: Many[_Model] = msgspec.field(default_factory=list, name="availableModels")


class _Value(Struct):
    value: Words = ""
    name: Words = ""
    description: Words | None = None
    options: Many[_Value] | None = None  # of a group


class _Config(Struct):
    id: Words
    name: Words = ""
    description: Words | None = None
    category: Words | None = None
    type: Words = "select"
    current: Words | bool = msgspec.field(default="", name="currentValue")
    options: Many[_Value] | None = None


class OpenAnswer(Struct):
    """What an agent answers to `session/new`, `session/load` and `session/resume`."""

    session: Words = msgspec.field(default="", name="sessionId")
    modes: Raw = ABSENT
    models: Raw = ABSENT
    config: Raw = msgspec.field(default=ABSENT, name="configOptions")


class _Configs(Struct):
    config: Raw = msgspec.field(default=ABSENT, name="configOptions")


class SessionOptions:
    """The options of one session; `described` tells all of them."""

    def __init__(self) -> None:
        self._config: dict[str, _Config] = {}
        self._modes = _Modes()
        self._models = _Models()
        self.chosen: dict[str, str] = {}  # what people have set, to be set again in an agent that was restarted

    def opened(self, state: OpenAnswer) -> None:
        """Take what an agent answers when it opens the session."""
        self._config = {}
        self._modes = read(state.modes, _Modes) or _Modes()
        self._models = read(state.models, _Models) or _Models()
        self._take(state.config)

    def config_changed(self, config: Raw) -> Described | None:
        """Take all options as the agent tells them now."""
        return self.described() if self._take(config) else None

    def mode_changed(self, mode: str) -> Described:
        """Note that the agent, or somebody through it, has changed the mode."""
        self._modes.current = mode
        for config in self._config.values():
            if config.category == MODE:
                config.current = mode
        return self.described()

    def described(self) -> Described:
        """Tell all that may be set now, and the model."""
        options = self.all()
        model = next((o for o in options if o.category == MODEL), None)
        named = {choice.id: choice.name for choice in model.choices} if model else {}
        return Described(options=options, model=named.get(model.value, model.value) if model else None)

    def all(self) -> tuple[Option, ...]:
        """All that may be set now; what agents tell twice, in the old way and in the new one, once."""
        options = [_option(config) for config in self._config.values()]
        categories = {option.category for option in options}
        if self._modes.available and MODE not in categories:
            choices = tuple(_choice(mode.id, mode) for mode in self._modes.available)
            current = self._modes.current
            options.append(Option(id=MODE, name="Mode", value=current, choices=choices, category=MODE))
        if self._models.available and MODEL not in categories:
            choices = tuple(_choice(model.id, model) for model in self._models.available)
            current = self._models.current
            options.append(Option(id=MODEL, name="Model", value=current, choices=choices, category=MODEL))
        return tuple(options)

    def setting(self, session: str, option: str, value: str) -> tuple[str, dict[str, object]]:
        """The request that sets an option: its method and params. Raises: BadParams."""
        found = next((each for each in self.all() if each.id == option), None)
        if found is None:
            there = ", ".join(each.id for each in self.all()) or "none"
            raise BadParams(f"there is no option {option!r}", hint=f"there are: {there}")
        if value not in {choice.id for choice in found.choices}:
            hint = "choose one of: " + ", ".join(choice.id for choice in found.choices[:20])
            raise BadParams(f"{option}: {value!r} is not one of the choices", hint=hint)
        if option in self._config:
            boolean = self._config[option].type == "boolean"
            params: dict[str, object] = {"sessionId": session, "configId": option, "value": value}
            if boolean:
                params |= {"type": "boolean", "value": value == "true"}
            return "session/set_config_option", params
        if option == MODE:
            return "session/set_mode", {"sessionId": session, "modeId": value}
        return "session/set_model", {"sessionId": session, "modelId": value}

    def was_set(self, option: str, value: str, answer: Raw) -> Described:
        """Note that the agent has taken a value; its `answer` may tell all options."""
        told = self._take((read(answer, _Configs) or _Configs()).config)
        if not told and option in self._config:
            config = self._config[option]
            config.current = value == "true" if config.type == "boolean" else value
        elif option == MODE:
            self._modes.current = value
        elif option == MODEL:
            self._models.current = value
        self.chosen[option] = value
        return self.described()

    def to_set_again(self) -> list[tuple[str, str]]:
        """The options that people have set and a restarted agent has not."""
        now = {option.id: option for option in self.all()}
        return [
            (option, value)
            for option, value in self.chosen.items()
            if option in now and now[option].value != value and value in {c.id for c in now[option].choices}
        ]

    def _take(self, config: Raw) -> bool:
        found = read(config, Many[_Config])
        if found is None:
            return False
        self._config = {each.id: each for each in found}
        return True


def _option(config: _Config) -> Option:
    if config.type == "boolean":
        choices: tuple[Choice, ...] = (Choice(id="true", name="on"), Choice(id="false", name="off"))
        value = "true" if config.current in {True, "true"} else "false"
    else:
        choices = tuple(_choice(each.value, each) for each in _flat(config.options or []))
        value = str(config.current)
    return Option(id=config.id, name=config.name or config.id, value=value, choices=choices,
                  category=config.category or "", description=config.description or "")  # fmt: skip


def _choice(key: str, told: _Mode | _Model | _Value) -> Choice:
    return Choice(id=key, name=told.name or key, description=told.description or "")


def _flat(values: list[_Value]) -> list[_Value]:
    found: list[_Value] = []
    for value in values:
        found += value.options if value.options is not None else [value]
    return found
