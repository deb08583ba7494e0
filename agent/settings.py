"""What the owner decided: `config.toml`, then the environment, then the command line. Resolved once, then frozen.

docs/settings.md lists every setting; a test holds the two together.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import msgspec.inspect
from msgspec import Meta, Struct

from agent.errors import ConfigError
from agent.paths import FOR_HOMELESS, HOMELESS, SOCKET, expanded, runtime_folder
from agent.ports.backends import BACKEND_NAME, BackendConfig
from agent.protocol.model import NAME_MAX

PREFIX = "LAN_AGENT_"
SHOWN_MAX = 60
"""Characters of a wrong value that an error shows."""
_UNKNOWN = re.compile(r"contains unknown field `(.*)`")


class PresenceSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The settings on what this device announces."""

    mode: Literal["sealed", "open", "hidden"] = "sealed"  # open: for everybody; hidden: nothing, peers use addresses


class LinkSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How links to paired devices are kept (L4)."""

    max: Annotated[int, Meta(ge=1, le=1024)] = 32
    mode: Literal["always", "on-demand"] = "always"


class PeerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Devices that multicast does not reach."""

    static: tuple[str, ...] = ()  # HOST[:PORT]


class SessionSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The settings on sessions hosted on this device."""

    backend: str = "shell"  # when none is asked for
    shell: Annotated[str, Meta(max_length=4096)] = ""  # of the backend shell, when none is asked for; empty: the user's
    may_prompt_others: bool = False  # whether programs that run in sessions may use other devices (T9)


class PageSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The settings on the page in the browser (T8)."""

    enabled: bool = True
    port: Annotated[int, Meta(ge=0, le=65535)] = 7480  # 0: any that is free
    allowed_hosts: tuple[str, ...] = ()  # names of proxies with TLS that forward it
    plain: bool = False  # at 127.0.0.1, for a browser that does not know *.localhost


class TranscriptSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How long transcripts of sessions that are over are kept."""

    keep_days: Annotated[int, Meta(ge=0, le=36_500)] = 0  # 0: for ever
    max_mb: Annotated[int, Meta(ge=0, le=1_000_000)] = 0  # of all transcripts, in MiB; 0: any size


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of one device."""

    name: Annotated[str, Meta(max_length=NAME_MAX)] = ""  # empty: the host name
    port: Annotated[int, Meta(ge=0, le=65535)] = 0  # 0: the last one that was free
    interfaces: tuple[str, ...] = ()  # patterns of interface names; empty: every LAN interface
    presence: PresenceSettings = PresenceSettings()
    links: LinkSettings = LinkSettings()
    peers: PeerSettings = PeerSettings()
    sessions: SessionSettings = SessionSettings()
    page: PageSettings = PageSettings()
    transcripts: TranscriptSettings = TranscriptSettings()
    backends: dict[str, BackendConfig] = {}  # by name; only in the file: a variable cannot say so much


class Home(Struct, frozen=True):
    """The three folders of this device."""

    config: Path
    state: Path
    runtime: Path

    @property
    def config_file(self) -> Path:
        """Where the settings are written."""
        return self.config / "config.toml"

    @property
    def control_socket(self) -> Path:
        """Where clients of this user connect."""
        return self.runtime / SOCKET


def home(environ: Mapping[str, str]) -> Home:
    """Where this device keeps its things: `LAN_AGENT_HOME` puts all under one folder, else the system's places.

    Raises: ConfigError, if this user has no home directory.
    """
    if folder := environ.get("LAN_AGENT_HOME"):
        root = expanded(folder)
        return Home(config=root, state=root / "state", runtime=runtime_folder(environ))
    import platformdirs  # noqa: PLC0415 - 18 ms that a home of one's own does not need

    runtime = runtime_folder(environ)
    try:
        return Home(
            config=Path(platformdirs.user_config_dir("lan-agent")),
            state=Path(platformdirs.user_state_dir("lan-agent")),
            runtime=runtime,
        )
    except RuntimeError as exc:  # no HOME, and no entry in the table of users
        raise ConfigError(HOMELESS, hint=FOR_HOMELESS) from exc


def load(file: Path, environ: Mapping[str, str], given: Mapping[str, object]) -> Settings:
    """The settings in force; `given` (the command line) over the environment over the file. Raises: ConfigError."""
    values = _read(file)
    backends = _backends(values.pop("backends", {}), file)
    told_by: dict[str, str] = {}
    for name, kind in _names(Settings):
        variable = PREFIX + name.upper().replace(".", "_")
        text = environ.get(variable)
        if text is not None:
            _put(values, name, _from_text(text, kind))
            told_by[name] = variable
    for name, value in given.items():
        if value is not None:
            _put(values, name, value)
            told_by[name] = "the command line"
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as exc:
        what, name = _told(exc, Settings, values)
        where = told_by.get(name.partition("[")[0], str(file))
        raise ConfigError(f"{where}: {what}") from exc
    return msgspec.structs.replace(settings, backends=backends)


def names() -> list[str]:
    """Every setting with a name of its own, as `links.max`; not the tables `[backends.NAME]`."""
    return [name for name, _ in _names(Settings)]


def _told(error: msgspec.ValidationError, kind: type[Struct], values: object) -> tuple[str, str]:
    # What is wrong, in words of our own with what is allowed; and the setting, empty if it is an unknown one.
    what, _, place = " ".join(str(error).split()).partition(" - at `$.")
    place = place.rstrip("`")
    unknown = _UNKNOWN.search(what)
    fields = [part for part in re.split(r"\.|\[.*?\]", place) if part]
    if unknown:
        for part in fields:
            kind = _type_of(kind, part)
        known = [field.name for field in msgspec.structs.fields(kind)]
        near = get_close_matches(unknown[1], known, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        above = f"{place}." if place else ""
        return f"there is no setting {above}{unknown[1]}: {meant}there are {listed(known)}", ""
    allowed: Any = kind
    for part in fields:
        allowed = _type_of(allowed, part)
        values = values.get(part) if isinstance(values, dict) else values
    shown = "" if values is None or isinstance(values, dict | list) else f", not {shortened(values)}"
    return f"{f'{place} ' if place else ''}takes {takes(allowed)}{shown}", place


def _type_of(kind: Any, field: str) -> Any:
    return next((each.type for each in msgspec.structs.fields(kind) if each.name == field), None)


def takes(kind: Any) -> str:
    """What a setting of that type may be, in words."""
    match msgspec.inspect.type_info(kind):
        case msgspec.inspect.LiteralType(values=values):
            words = f"one of {listed(values)}"
        case msgspec.inspect.BoolType():
            words = "true or false"
        case msgspec.inspect.IntType(ge=least, le=most):
            words = f"a whole number from {least} to {most}"
        case msgspec.inspect.StrType(max_length=most):
            words = f"text of up to {most} characters" if most else "text"
        case msgspec.inspect.VarTupleType():
            words = "a list of texts"
        case msgspec.inspect.DictType():
            words = "a table of texts"
        case _:
            words = "a table"
    return words


def listed(words: Iterable[object]) -> str:
    """Words as a person lists them: `a, b and c`."""
    *most, last = map(str, words)
    return f"{', '.join(most)} and {last}" if most else last


def shortened(value: object) -> str:
    """A value that somebody gave, short enough for one line."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 1]}…"


def _backends(tables: object, file: Path) -> dict[str, BackendConfig]:
    # One by one: msgspec does not say in which entry of a dictionary something is wrong.
    if not isinstance(tables, dict):
        raise ConfigError(f"{file}: backends must be tables: [backends.NAME]")
    found: dict[str, BackendConfig] = {}
    for name, table in tables.items():
        if not BACKEND_NAME.fullmatch(name):
            hint = "up to 64 lower-case letters, digits and . _ -, the first one a letter or digit"
            raise ConfigError(f"{file}: {name!r} is no name for a backend", hint=hint)
        try:
            found[name] = msgspec.convert(table, BackendConfig, strict=False)
        except msgspec.ValidationError as exc:
            what, _ = _told(exc, BackendConfig, None)  # no value is shown: it may be a secret
            raise ConfigError(f"{file}: backends.{name}: {what}") from exc
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not UTF-8"
        hint = "make it readable and UTF-8; HOME or LAN_AGENT_HOME names another place"
        raise ConfigError(f"{file} cannot be read: {reason}", hint=hint) from exc
    except RecursionError as exc:
        raise ConfigError(f"{file} is not TOML that anybody would write: too deep") from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{file} is not TOML: {exc}") from exc


def _names(kind: type[Struct], above: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            found += _names(field.type, f"{above}{field.name}.")
        elif field.name != "backends":
            found.append((above + field.name, field.type))
    return found


def _put(values: dict[str, Any], name: str, value: object) -> None:
    *tables, last = name.split(".")
    for table in tables:
        inner = values.setdefault(table, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{table} must be a table")
        values = inner
    values[last] = value


def _from_text(text: str, kind: object) -> object:
    return [part.strip() for part in text.split(",") if part.strip()] if kind == tuple[str, ...] else text
