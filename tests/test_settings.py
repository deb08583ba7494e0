"""Settings: the file, then the environment, then the command line; whatever is wrong is one line with advice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.errors import ConfigError
from agent.settings import PREFIX, Settings, home, load, names

VALUES: dict[str, tuple[str, object, str, object, object]] = {
    # setting: in the file, as read; in the environment, as read; on the command line
    "name": ('"den"', "den", "desk", "desk", "pi"),
    "port": ("7001", 7001, "7002", 7002, 7003),
    "interfaces": ('["eth0", "wl*"]', ("eth0", "wl*"), "en0, en1", ("en0", "en1"), ["lo"]),
    "presence.mode": ('"hidden"', "hidden", "open", "open", "hidden"),
    "links.max": ("4", 4, "5", 5, 6),
    "links.mode": ('"on-demand"', "on-demand", "always", "always", "on-demand"),
    "peers.static": ('["a", "b:1"]', ("a", "b:1"), "c", ("c",), ["d:2"]),
    "sessions.may_prompt_others": ("true", True, "true", True, True),
    "page.enabled": ("false", False, "false", False, False),
    "page.port": ("7001", 7001, "7002", 7002, 7003),
    "page.allowed_hosts": ('["a.test"]', ("a.test",), "b.test, c.test", ("b.test", "c.test"), ["d.test"]),
    "page.plain": ("true", True, "true", True, True),
    "transcripts.keep_days": ("30", 30, "31", 31, 32),
    "transcripts.max_mb": ("500", 500, "501", 501, 502),
    "sessions.shell": ('"zsh"', "zsh", "fish", "fish", "/bin/bash"),
    "sessions.backend": ('"acp"', "acp", "shell", "shell", "echo"),
}


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "config.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def line(name: str, value: str) -> str:
    table, _, last = name.rpartition(".")
    return (f"[{table}]\n" if table else "") + f"{last} = {value}\n"


def variable(name: str) -> str:
    return PREFIX + name.upper().replace(".", "_")


def value_of(settings: Settings, name: str) -> object:
    found: Any = settings
    for part in name.split("."):
        found = getattr(found, part)
    return found


def test_every_setting_is_tried_here() -> None:
    assert sorted(VALUES) == sorted(names())


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    assert load(tmp_path / "config.toml", {}, {}) == Settings()
    assert load(write(tmp_path, ""), {"LAN_AGENT_HOME": "/x", "LAN_AGENT_LATER": "1"}, {}) == Settings()


@pytest.mark.parametrize("name", names())
def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path, name: str) -> None:
    in_file, from_file, in_environ, from_environ, given = VALUES[name]
    file = write(tmp_path, line(name, in_file))
    assert value_of(load(file, {}, {name: None}), name) == from_file
    assert value_of(load(file, {variable(name): in_environ}, {}), name) == from_environ
    expected = tuple(given) if isinstance(given, list) else given
    assert value_of(load(file, {variable(name): in_environ}, {name: given}), name) == expected


def test_one_setting_of_a_table_leaves_the_others(tmp_path: Path) -> None:
    settings = load(write(tmp_path, '[links]\nmax = 4\nmode = "on-demand"\n'), {"LAN_AGENT_LINKS_MAX": "9"}, {})
    assert (settings.links.max, settings.links.mode) == (9, "on-demand")


def test_an_empty_list_in_the_environment_empties_it(tmp_path: Path) -> None:
    assert load(write(tmp_path, '[peers]\nstatic = ["a"]'), {"LAN_AGENT_PEERS_STATIC": ""}, {}).peers.static == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("port = 70000", "port takes a whole number from 0 to 65535, not 70000"),
        ("port = true", "port takes a whole number from 0 to 65535, not true"),
        ("port = 1.5", "port takes a whole number from 0 to 65535, not 1.5"),
        ("port = 99999999999999999999999", "port takes "),
        ("name = 5", "name takes text of up to 63 characters, not 5"),
        ("name = 2020-01-01", "name takes text of up to 63 characters, not datetime.date"),
        (f'name = "{"x" * 64}"', "name takes text of up to 63 characters, not 'xxx"),
        ('interfaces = "eth0"', "interfaces takes a list of texts, not 'eth0'"),
        ("interfaces = [1]", "interfaces[0] takes a list of texts"),
        ('[presence]\nmode = "loud"', "presence.mode takes one of hidden, open and sealed, not 'loud'"),
        ("[links]\nmax = 0", "links.max takes a whole number from 1 to 1024, not 0"),
        ("links = 3", "links takes a table, not 3"),
        ('nam = "den"', "there is no setting nam: did you mean name? there are name, port, interfaces, "),
        ('"two\\nlines" = 1', "there is no setting two lines: there are name, "),
        ("[links]\nmaximum = 3", "there is no setting links.maximum: did you mean max? there are max and mode"),
        ("name = ", "is not TOML"),
        ("name = 'a'\nname = 'b'", "is not TOML"),
        (b"name = '\xff'", "not UTF-8"),
        ("name = " + "[" * 20_000, "is not TOML"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it_and_the_setting(tmp_path: Path, text: str | bytes, told: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(file, {}, {})
    message = str(caught.value)
    assert message.startswith(str(file))
    assert told in message
    assert "\n" not in message
    assert caught.value.hint


def test_a_bad_variable_is_named_instead_of_the_file(tmp_path: Path) -> None:
    for name, text in {
        "port": "x",
        "links.max": "0",
        "links.mode": "maybe",
        "presence.mode": "",
        "name": "x" * 64,
    }.items():
        with pytest.raises(ConfigError, match=rf"^{variable(name)}: {name} takes "):
            load(tmp_path / "config.toml", {variable(name): text}, {})


def test_a_bad_option_is_named_instead_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^the command line: name takes text of up to 63 characters"):
        load(write(tmp_path, 'name = "den"'), {"LAN_AGENT_NAME": "desk"}, {"name": "x" * 64})


def test_a_variable_for_a_table_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="links must be a table"):
        load(write(tmp_path, "links = 3"), {"LAN_AGENT_LINKS_MAX": "4"}, {})


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(ConfigError, match=r"config\.toml cannot be read"):
        load(tmp_path / "config.toml", {}, {})


def test_backends_are_tables_by_name(tmp_path: Path) -> None:
    text = (
        '[backends.mine]\nargv = ["x", "--acp"]\nenv = {A = "1"}\n[backends."4.1"]\nkind = "openai"\nurl = "http://x"\n'
    )
    found = load(write(tmp_path, text), {"LAN_AGENT_BACKENDS": "x", "LAN_AGENT_BACKENDS_MINE_ARGV": "y"}, {}).backends
    assert list(found) == ["mine", "4.1"]
    assert (found["mine"].kind, found["mine"].argv, found["mine"].env) == ("acp", ("x", "--acp"), {"A": "1"})
    assert (found["4.1"].kind, found["4.1"].url) == ("openai", "http://x")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("backends = 3", "backends must be tables"),
        ("[backends]\nmine = 3", "backends.mine: takes a table"),
        ("[backends.mine]\nargs = []", "backends.mine: there is no setting args: did you mean argv? there are kind, "),
        ('[backends.mine]\nargv = "x"', "backends.mine: argv takes a list of texts"),
        ("[backends.other]\n[backends.mine]\nenv = {A = 1}", "backends.mine: env[...] takes a table of texts"),
        ('[backends.mine]\nkey = "sk-1"', "backends.mine: there is no setting key: did you mean key_env?"),
        ("[backends.MINE]", "'MINE' is no name for a backend"),
        ('[backends."a b"]', "'a b' is no name for a backend"),
        ('[backends."a\\nb"]', "is no name for a backend"),
        (f"[backends.{'x' * 65}]", "is no name for a backend"),
        ('[backends.""]', "'' is no name for a backend"),
    ],
)
def test_a_bad_backend_is_one_line_that_names_it(tmp_path: Path, text: str, told: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(file, {}, {})
    assert str(caught.value).startswith(f"{file}: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "sk-1" not in str(caught.value)
    assert caught.value.hint


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Settings().port = 1  # type: ignore[misc] # that is the point
    assert msgspec.structs.replace(Settings(), port=1).port == 1


def test_a_home_of_its_own_holds_everything(tmp_path: Path) -> None:
    where = home({"LAN_AGENT_HOME": str(tmp_path)})
    assert where.config_file == tmp_path / "config.toml"
    assert where.state == tmp_path / "state"
    assert where.runtime == tmp_path / "run"


def test_a_home_too_deep_for_a_socket_has_its_runtime_folder_elsewhere(tmp_path: Path) -> None:
    deep, other = tmp_path / ("x" * 100), tmp_path / ("y" * 100)
    runtime = home({"LAN_AGENT_HOME": str(deep)}).runtime
    assert len(str(runtime / "control.sock")) < 100
    assert runtime != home({"LAN_AGENT_HOME": str(other)}).runtime
    assert runtime == home({"LAN_AGENT_HOME": str(deep)}).runtime
