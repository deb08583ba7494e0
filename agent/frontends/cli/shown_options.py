"""What a session is set to (model, mode, …), so that a change of it is one line."""

from __future__ import annotations

from collections.abc import Iterable

from agent.client.terminal_text import clean
from agent.protocol.events import Option, SessionInfo


class ShownOptions:
    """The options and the model of a session, as a person was told of them."""

    def __init__(self) -> None:
        self._options: dict[str, str] = {}
        self._model = ""

    def told(self, info: SessionInfo) -> str:
        """What `session.info` brings of news, in words; "" if nothing has changed."""
        changed = self._changed(info.options or ())
        if info.model and info.model != self._model:
            self._model = info.model
            if not any(option.category == "model" for option in info.options or ()):
                changed.append(f"model: {clean(info.model)}")
        return " · ".join(changed)

    def options(self, options: Iterable[Option]) -> str:
        """What options that attaching brings have of news, in words; "" if nothing has changed."""
        return " · ".join(self._changed(options))

    def _changed(self, options: Iterable[Option]) -> list[str]:
        news = [option for option in options if self._options.get(option.id) != option.value]
        self._options.update({option.id: option.value for option in news})
        return [f"{option_name(option)}: {option_value(option)}" for option in news]


def option_name(option: Option) -> str:
    """The name of an option, as people call it."""
    return clean(option.name).strip().lower() or clean(option.id)


def option_value(option: Option) -> str:
    """The value of an option, by the name of the choice."""
    return clean(next((choice.name for choice in option.choices if choice.id == option.value), "") or option.value)
