"""agent.adapters.backends.find_backends: entry points, families, settings; what is broken, and whose name it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from agent.adapters.backends import GROUP, InstalledBackends, find_backends
from agent.ports import BackendConfig, BackendType, kind_of
from tests.fakes.echo import EchoBackend

MODULE = "tests_backends_found"


class Named(EchoBackend):
    """A member of a family."""

    def __init__(self, name: str, description: str = "") -> None:
        super().__init__()
        self.name, self.description = name, description  # type: ignore[misc] # one class for several names


class Family:
    """`found` on the device, and whatever the settings name."""

    found: tuple[str, ...] = ("alpha", "beta")

    def members(self, configured: Mapping[str, BackendConfig]) -> Sequence[BackendType]:
        named = [Named(name, config.description) for name, config in configured.items()]
        return [*named, *(Named(name, "found") for name in self.found if name not in configured)]


class Forgetful(Family):
    """Makes nothing of the settings."""

    def members(self, configured: Mapping[str, BackendConfig]) -> Sequence[BackendType]:
        return [Named("alpha")]


class Raising(Family):
    def members(self, configured: Mapping[str, BackendConfig]) -> Sequence[BackendType]:
        raise RuntimeError("no\nluck")


class Nameless(Family):
    found = ("Not A Name",)


class NoBackend:
    """Something else."""


def leaving() -> BackendType:
    sys.exit("a module that ends the program")


class Dist(Distribution):
    """A distribution of that name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read_text(self, filename: str) -> str | None:
        return f"Metadata-Version: 2.1\nName: {self._name}\nVersion: 1\n" if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Path:
        return Path(path)


Entry = Callable[..., EntryPoint]


@pytest.fixture
def entry() -> Iterator[Entry]:
    """Entry points of classes of this module."""
    module = ModuleType(MODULE)
    sys.modules[MODULE] = module

    def make(name: str, kind: Any, dist: str = "other") -> EntryPoint:
        word = f"Kind{len(vars(module))}"
        setattr(module, word, kind)
        point = EntryPoint(name, f"{MODULE}:{word}", GROUP)
        vars(point).update(dist=Dist(dist))
        return point

    yield make
    del sys.modules[MODULE]


def config(kind: str, **more: Any) -> BackendConfig:
    return BackendConfig(kind=kind, **more)


def about(found: InstalledBackends, name: str) -> str:
    kind = found.usable()[name]
    return f"{type(kind).__name__}: {kind.description}"


def test_what_lan_agent_brings_is_found() -> None:
    found = find_backends({})
    assert {"shell", "ollama"} <= set(found.usable())
    assert found.installed["ollama"].entry == "openai"


def test_what_can_have_any_name_tells_its_kind() -> None:
    tables = {
        "first": BackendConfig(kind="acp", argv=("first",)),
        "second": BackendConfig(kind="hermes"),
        "third": BackendConfig(kind="openai", url="http://127.0.0.1:9"),
    }
    found = find_backends(tables).usable()
    assert {name: kind_of(found[name]) for name in tables} == {name: table.kind for name, table in tables.items()}
    assert {kind_of(found[name]) for name in ("hermes", "ollama")} == {"acp", "openai"}


def test_one_entry_point_makes_one_kind_or_several(entry: Entry) -> None:
    found = find_backends({}, [entry("echo", EchoBackend), entry("greek", Family)])
    assert {name: each.entry for name, each in found.installed.items()} == {
        "alpha": "greek", "beta": "greek", "echo": "echo",
    }  # fmt: skip
    assert found.problems == ()


def test_the_settings_add_and_replace_members(entry: Entry) -> None:
    configured = {"beta": config("greek", description="mine"), "gamma": config("greek")}
    found = find_backends(configured, [entry("greek", Family)])
    assert sorted(found.usable()) == ["alpha", "beta", "gamma"]
    assert about(found, "beta") == "Named: mine"
    assert found.problems == ()


def test_a_family_is_shown_its_own_tables_only(entry: Entry) -> None:
    found = find_backends({"gamma": config("latin")}, [entry("greek", Family), entry("latin", Forgetful)])
    assert found.installed["gamma"].type is None


# --- names -----------------------------------------------------------------------------------------------------------


def test_a_name_of_the_settings_is_theirs_and_that_is_no_problem(entry: Entry) -> None:
    found = find_backends(
        {"shell": config("greek", description="mine")},
        [entry("shell", EchoBackend, "lan-agent"), entry("greek", Family)],
    )
    assert about(found, "shell") == "Named: mine"
    assert found.problems == ()


def test_no_other_package_takes_the_place_of_our_own(entry: Entry) -> None:
    for order in (1, -1):
        points = [entry("alpha", EchoBackend, "evil"), entry("greek", Family, "lan-agent")][::order]
        found = find_backends({}, points)
        assert about(found, "alpha") == "Named: found"
        assert len(found.problems) == 1
        assert found.problems[0].startswith("there are two backends 'alpha': ")


def test_of_two_others_the_first_by_name_is_used(entry: Entry) -> None:
    points = [entry("zz", Family, "one"), entry("alpha", EchoBackend, "two")]
    for order in (1, -1):
        found = find_backends({}, points[::order])
        assert about(found, "alpha").startswith("EchoBackend")
        assert len(found.problems) == 1


# --- what is broken --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Raising, Nameless, NoBackend, leaving, None])
def test_what_cannot_be_loaded_is_listed_with_the_reason_and_harms_no_other(entry: Entry, kind: Any) -> None:
    found = find_backends({"mine": config("broken")}, [entry("broken", kind), entry("echo", EchoBackend)])
    assert list(found.usable()) == ["echo"]
    for name in ("broken", "mine"):
        assert found.installed[name].problem
        assert found.installed[name].hint
        assert "\n" not in found.installed[name].problem
    assert any(problem.startswith("the backend 'broken' (") for problem in found.problems)


def test_a_module_that_is_not_there_is_listed_too() -> None:
    found = find_backends({}, [EntryPoint("gone", "no_such_module_at_all:Backend", GROUP)])
    assert found.installed["gone"].problem == "ModuleNotFoundError: No module named 'no_such_module_at_all'"


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("klingon", "there is no kind 'klingon'; there are: echo, latin"),
        ("echo", "the kind 'echo' takes no settings"),
        ("latin", "the kind 'latin' takes no settings"),
    ],
)
def test_a_table_of_which_nothing_is_made_is_a_lasting_problem(entry: Entry, kind: str, told: str) -> None:
    points = [entry("echo", EchoBackend), entry("latin", Forgetful)]
    found = find_backends({"mine": config(kind)}, points)
    assert found.installed["mine"].problem == told
    assert found.installed["mine"].type is None
    assert found.problems == (f"[backends.mine] in config.toml: {told}",)


def test_a_table_for_a_plain_kind_of_that_name_is_told_as_well(entry: Entry) -> None:
    found = find_backends({"echo": config("echo")}, [entry("echo", EchoBackend)])
    assert found.problems == ("[backends.echo] in config.toml: the kind 'echo' takes no settings",)


def test_a_default_that_cannot_be_used_is_told(entry: Entry) -> None:
    found = find_backends({}, [entry("echo", EchoBackend), entry("broken", Raising)])
    assert found.troubles("echo") == found.problems
    for default in ("none", "broken"):
        assert found.troubles(default)[-1] == (
            f"sessions.backend is {default!r}, which is not installed: see `agent backends`"
        )
    assert found.troubles("echo", "/bin/sh") == found.troubles("echo", "sh") == found.problems
    assert found.troubles("echo", "no-such-shell")[-1] == (
        "sessions.shell is 'no-such-shell', which is not installed: see `agent backends shell`"
    )
