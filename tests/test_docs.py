"""Documents say what the code does: the references are complete, links lead somewhere, advice can be followed."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from pathlib import Path

import click
import msgspec
import pytest

from agent import __version__, settings
from agent.errors import KINDS, AgentError
from agent.frontends.cli.main import COMMANDS, Exit, agent
from agent.ports import BackendConfig
from agent.protocol.events import TYPES
from agent.protocol.methods import METHODS, NOTIFICATIONS
from agent.settings import PREFIX
from tests import backends_page, wire_page
from tests.e2e.shown import ALL, ELSEWHERE

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
TEMPLATE = ROOT / ".github" / "pull_request_template.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAGES = [
    README, ROOT / "CHANGELOG.md", CONTRIBUTING, ROOT / "SECURITY.md", TEMPLATE, *sorted(DOCS.rglob("*.md"))
]  # fmt: skip
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"`agent ([a-z]+)")

DEMO = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/agent demo"
TEST = "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest -n auto"


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """What stands under a heading of the second level."""
    found = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    assert found, f"no section {heading!r}"
    return found[1]


def rows(table: str) -> dict[str, str]:
    """Rows of a table by the name in back quotes that they begin with."""
    return {name: row for row, name in re.findall(r"^(\| `([^`]+)`.*)$", table, re.MULTILINE)}


WIRE = text(DOCS / "design" / "wire.md")


# --- the wire --------------------------------------------------------------------------------------------------------


def test_the_wire_page_has_the_table_of_methods() -> None:
    assert wire_page.with_table(WIRE) == WIRE, "run `python -m tests.wire_page`"


def test_the_wire_page_says_more_of_methods_that_exist() -> None:
    more = re.findall(r"^- `([a-z.]+)`", section(WIRE, "Methods"), re.MULTILINE)
    assert len(more) > 10
    assert set(more) <= set(METHODS)


def test_the_wire_page_has_every_notification_and_its_fields() -> None:
    table = rows(section(WIRE, "Notifications"))
    assert set(table) == set(NOTIFICATIONS)
    for name, note in NOTIFICATIONS.items():
        if name != "peer.back":  # as `peer.lost`
            assert [
                field for field in note.params.__struct_fields__ if not re.search(rf"\b{field}\b", table[name])
            ] == []


def test_the_wire_page_has_every_event_type_and_its_fields() -> None:
    table = rows(section(WIRE, "Events"))
    assert set(table) == set(TYPES)
    for name, kind in TYPES.items():
        assert [field for field in kind.__struct_fields__ if not re.search(rf"\b{field}\b", table[name])] == [], name


def test_the_wire_page_has_every_error_with_its_code() -> None:
    table = rows(section(WIRE, "Errors"))
    known = {kind: error.code for kind, error in KINDS.items()} | {AgentError.kind: AgentError.code}
    assert {kind: int(row.split("|")[2]) for kind, row in table.items()} == known


# --- backends --------------------------------------------------------------------------------------------------------


def test_the_backends_page_has_the_tables_of_all_that_a_backend_is_given_and_emits() -> None:
    page = text(DOCS / "design" / "backends.md")
    assert backends_page.with_table(page) == page, "run `python -m tests.backends_page`"


# --- settings --------------------------------------------------------------------------------------------------------


def test_the_settings_page_has_every_setting_with_variable_and_default() -> None:
    table = rows(text(DOCS / "settings.md").partition("\n## ")[0])
    assert set(table) == set(settings.names())
    for name, row in table.items():
        assert f"`{PREFIX}{name.upper().replace('.', '_')}`" in row, name
        defaults: object = settings.Settings()
        for part in name.split("."):
            defaults = getattr(defaults, part)
        shown = row.split("|")[4].strip()
        if name != "name":  # the host name
            assert tomllib.loads(f"x = {shown.strip('`')}")["x"] == (list(defaults) if defaults == () else defaults), (
                name
            )


def test_the_settings_page_has_every_field_of_a_backend_with_its_default() -> None:
    table = rows(section(text(DOCS / "settings.md"), "Backends"))
    defaults = msgspec.to_builtins(BackendConfig())
    assert {name: tomllib.loads(f"x = {row.split('|')[2].strip().strip('`')}")["x"] for name, row in table.items()} == {
        name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()
    }


def test_the_example_of_a_backend_is_taken(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", section(text(DOCS / "settings.md"), "Backends"), re.DOTALL)
    assert example
    (tmp_path / "config.toml").write_text(example[1])
    assert settings.load(tmp_path / "config.toml", {}, {}).backends["fable"].kind == "openai"


def test_the_settings_page_has_every_option_of_up() -> None:
    table = "\n".join(rows(text(DOCS / "settings.md")).values())
    command = agent.get_command(click.Context(agent), "up")
    assert command is not None
    options = [option for param in command.params for option in param.opts]
    assert options
    assert [option for option in options if f"`{option}`" not in table] == []


def test_the_example_of_the_settings_page_is_taken(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", text(DOCS / "settings.md"), re.DOTALL)
    assert example
    (tmp_path / "config.toml").write_text(example[1])
    taken = settings.load(tmp_path / "config.toml", {}, {})
    assert (taken.name, taken.presence.mode, len(taken.peers.static)) == ("den", "hidden", 2)


# --- commands --------------------------------------------------------------------------------------------------------


def test_the_readme_lists_every_command() -> None:
    assert {name.removeprefix("agent ") for name in rows(section(text(README), "Commands"))} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_page_has_every_command_with_its_options(name: str) -> None:
    headings = re.findall(r"^### `agent (\w+)([^`]*)`$", text(DOCS / "commands.md"), re.MULTILINE)
    shown = dict(headings)
    assert set(shown) == set(COMMANDS)
    command = agent.get_command(click.Context(agent), name)
    assert command is not None
    options = {option for param in command.params if isinstance(param, click.Option) for option in param.opts}
    assert set(re.findall(r"--[a-z-]+", shown[name])) == {option for option in options if option.startswith("--")}


def test_every_command_and_option_that_the_pages_show_is_run_by_a_test() -> None:
    shown = {
        f"{command} {option}".strip()
        for command, rest in re.findall(r"^### `agent (\w+)([^`]*)`$", text(DOCS / "commands.md"), re.MULTILINE)
        for option in ["", *re.findall(r"--[a-z-]+", rest)]
    }
    run = {
        f"{words[0]} {option}".strip()
        for words in (shlex.split(each.line) for each in ALL)
        for option in ["", *(word for word in words if word.startswith("--"))]
    }
    assert {each for each in shown - run if not {each, each.partition(" ")[2]} & ELSEWHERE.keys()} == set()


README_SHOWS = {
    "42-913-577": "{code}",
    "codex": "{backend}",
    "~/project": "{work} --title Build",
    "mode read-only": "mode {mode}",
}
"""What stands in the README for what another run has."""


def test_the_lines_that_the_readme_shows_are_run_as_they_stand() -> None:
    lines = re.findall(r"^\w+ \$ agent (.+?)(?:\s+# .*)?$", text(README), re.MULTILINE)
    run = {each.line for each in ALL}
    for shown, word in README_SHOWS.items():
        lines = [line.replace(shown, word) for line in lines]
    assert [line for line in lines if line not in run and line not in ELSEWHERE] == []


def test_the_commands_page_has_every_exit_status() -> None:
    table = re.findall(r"^\| (\d+) \|", text(DOCS / "commands.md"), re.MULTILINE)
    assert [int(status) for status in table] == [int(status) for status in Exit]


@pytest.mark.parametrize("command", [DEMO, TEST])
def test_the_readme_has_the_two_commands_for_a_fresh_machine(command: str) -> None:
    assert f"```sh\n{command}\n```" in text(README)


def test_the_targets_that_anybody_names_are_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z0-9]+):", text(ROOT / "Makefile"), re.MULTILINE))
    listed = re.findall(r"^\| `make (\w+)` \|", text(CONTRIBUTING), re.MULTILINE)
    assert set(listed) == targets
    runs = [
        text(path)
        for path in (ROOT / ".ci" / "run", *(ROOT / ".github").rglob("*.yml"), ROOT / ".pre-commit-config.yaml")
    ]
    named = [
        words
        for run in runs
        for words in re.findall(r"(?:- run|entry): make ([a-z ]+)$|^make .*?((?: [a-z]+)+)$", run, re.MULTILINE)
    ]
    used = {word for pair in named for words in pair for word in words.split()}
    assert {"style", "types", "unit"} <= used <= targets


def test_all_advice_can_be_followed() -> None:
    """Commands that documents and hints name exist."""
    sources = [*PAGES, *sorted((ROOT / "agent").rglob("*.py"))]
    named = {(str(path.relative_to(ROOT)), name) for path in sources for name in COMMAND.findall(text(path))}
    assert {(path, name) for path, name in named if name not in COMMANDS} == set()


# --- words -----------------------------------------------------------------------------------------------------------

GLOSSARY = text(DOCS / "glossary.md").partition("\n## Two meanings that stay")[0]
WORD = re.compile(r"^\| ([a-z][a-z ]*) \| ([A-Z][^|]*\.) \|([^|]*)\|$", re.MULTILINE)


def test_every_row_of_the_glossary_has_a_word_and_a_sentence() -> None:
    listed = [
        line for line in GLOSSARY.splitlines() if line.startswith("| ") and not line.startswith(("| word", "| ---"))
    ]
    assert [line for line in listed if not WORD.match(line)] == []


def test_every_word_has_one_meaning() -> None:
    words = [word for word, _, _ in WORD.findall(GLOSSARY)]
    assert len(words) > 30
    assert [word for word in words if words.count(word) > 1] == []


def test_what_the_glossary_points_at_is_in_the_code() -> None:
    code = "\n".join(text(path) for path in (ROOT / "agent").rglob("*.py"))
    named = {name for _, _, places in WORD.findall(GLOSSARY) for name in re.findall(r"`([A-Z]\w+)`", places)}
    assert len(named) > 25
    assert {name for name in named if not re.search(rf"^(class )?{name}\b( =|[(\[:])", code, re.MULTILINE)} == set()


# --- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    targets = [link.partition("#")[0] for link in LINK.findall(text(page)) if "://" not in link]
    assert [target for target in targets if target and not (page.parent / target).exists()] == []


PACKAGE = ROOT / "agent"
MAPPED = sorted(
    str(each.parent.relative_to(PACKAGE)) for each in PACKAGE.glob("*/**/__init__.py") if each.parent.name != "rules"
)
"""Every package but `rules`, which is on the map of its domain."""
PARTS = "|".join(sorted(each.parent.name for each in PACKAGE.glob("*/__init__.py")))
IN_A_PATH = re.compile(rf"`((?:{PARTS})/[a-z_/]+)(?:\.py)?[`.]")
PATH = re.compile(r"(?<![\w/.-])((?:agent|tests|docs|systemd|\.ci|\.github)/[a-z_\d./-]*[a-z_\d])(?![\w/])")
DOTTED = re.compile(r"(?<![\w-])agent((?:\.[a-z_]+)+(?:\.[A-Z]\w*)?)\b")
CLASS = re.compile(r"`([A-Z][a-z]+[A-Z]\w*(?:\.[a-z_]+)?)(?:\([^`]*\))?`")
IN_CODE = re.compile(rf"`(?:agent\.)?((?:{PARTS})(?:\.[A-Za-z_]\w*)+)`")


def is_there(dotted: str) -> bool:
    """Whether `sessions.host.Sessions` names a module of the package, or what stands in one."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        at = PACKAGE.joinpath(*parts[:length])
        module = at / "__init__.py" if at.is_dir() else at.with_suffix(".py")
        if module.is_file():
            return length == len(parts) or re.search(rf"\b{parts[length]}\b", text(module)) is not None
    return False


def test_modules_named_in_pages_exist() -> None:
    named = {(page.name, name) for page in PAGES for name in IN_A_PATH.findall(text(page))}
    assert len(named) > 30
    assert {(page, name) for page, name in named if not is_there(name.strip("/").replace("/", "."))} == set()


def test_paths_named_in_pages_exist() -> None:
    named = {(page.name, path) for page in PAGES for path in PATH.findall(text(page))}
    assert len(named) > 50
    assert {(page, path) for page, path in named if not (ROOT / path).exists()} == set()


def test_imports_named_in_pages_exist() -> None:
    named = {(page.name, name.strip(".")) for page in PAGES for name in DOTTED.findall(text(page))}
    assert len(named) > 3
    assert {(page, name) for page, name in named if not is_there(name)} == set()


def test_classes_named_in_pages_exist() -> None:
    code = "\n".join(text(path) for path in PACKAGE.rglob("*.py")) + "NamePartTooLongException"  # of zeroconf
    pages = [CONTRIBUTING, *(DOCS / "design").glob("*.md")]
    parts = {(page.name, part) for page in pages for name in CLASS.findall(text(page)) for part in name.split(".")}
    assert len(parts) > 20
    assert {(page, part) for page, part in parts if not re.search(rf"\b{part}\b", code)} == set()


def test_modules_named_in_the_code_exist() -> None:
    # Names of the wire, of settings and of files look alike.
    others = re.compile(rf"({'|'.join(map(re.escape, [*METHODS, *NOTIFICATIONS, *settings.names()]))}|.*\.json)")
    code = [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    named = {(path.name, name) for path in code for name in IN_CODE.findall(text(path)) if not others.fullmatch(name)}
    assert len(named) > 30
    assert {(path, name) for path, name in named if not is_there(name)} == set()


def test_pages_named_in_the_code_exist() -> None:
    named = {name for path in (ROOT / "agent").rglob("*.py") for name in re.findall(r"docs/[\w/-]+\.md", text(path))}
    assert named
    assert {name for name in named if not (ROOT / name).is_file()} == set()


def test_every_attack_of_the_security_page_has_a_test_that_exists() -> None:
    rows_ = [line for line in text(DOCS / "security.md").splitlines() if "::" in line]
    assert len(rows_) > 20
    missing = [
        (path, name)
        for row in rows_
        for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        if not (ROOT / path).is_file() or f"def {name}(" not in text(ROOT / path)
    ]
    assert missing == []
    assert all(row.count("|") == 4 and row.count("`tests/") == row.count("::") for row in rows_)


def test_every_file_of_attacks_is_on_the_security_page() -> None:
    page = text(DOCS / "security.md")
    files = sorted((ROOT / "tests" / "attacks").glob("test_*.py"))
    assert files
    assert [path.name for path in files if f"attacks/{path.name}::" not in page] == []


def test_every_decision_is_listed_and_says_why() -> None:
    listed = text(DOCS / "decisions" / "README.md")
    pages = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    for page in pages:
        assert f"({page.name})" in listed, page.name
        assert all(f"**{part}.**" in text(page) for part in ("Context", "Decision", "Consequences")), page.name


def test_every_dependency_has_its_decision() -> None:
    project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
    needed = {re.split(r"[<>=~! ]", each)[0] for each in project["dependencies"]}
    headings = [text(page).splitlines()[0] for page in (DOCS / "decisions").glob("[0-9]*.md")]
    assert {name for name in needed if not any(name in heading for heading in headings)} == set()


def test_every_design_page_is_reached_from_the_overview() -> None:
    linked = {Path(link).name for link in LINK.findall(text(DOCS / "design" / "overview.md"))}
    pages = {page.name for page in [*DOCS.glob("*.md"), *(DOCS / "design").glob("*.md")]}
    assert pages - linked == {"overview.md"}


def test_the_overview_pictures_every_package_and_every_module_beside_them() -> None:
    picture = text(DOCS / "design" / "overview.md").split("```")[1]
    beside = {each.stem for each in PACKAGE.glob("[a-z]*.py")}
    assert beside - set(re.findall(r"\w+", picture.partition("  protocol/")[0])) == set()
    told = re.findall(r"^  (\w+)/(.*(?:\n {8}.*)*)", picture, re.MULTILINE)
    parts = {name: set(re.findall(r"\w+", words)) for name, words in told}
    packages = [each.parent.relative_to(PACKAGE).parts for each in PACKAGE.glob("*/**/__init__.py")]
    assert {top for top, *_ in packages} == set(parts)
    assert [(top, *inner) for top, *inner in packages if not parts[top].issuperset(inner)] == []


@pytest.mark.parametrize("package", MAPPED)
def test_the_map_of_a_package_names_its_modules_and_no_others(package: str) -> None:
    at = PACKAGE / package
    told = ast.get_docstring(ast.parse(text(at / "__init__.py"))) or ""
    assert len(told.splitlines()) <= 25
    modules = {each.stem for folder in (at, at / "rules") for each in folder.glob("[a-z]*.py")}
    assert {name for name in modules if f"`{name}`" not in told} == set()
    packages = {each.parent.name for each in PACKAGE.rglob("__init__.py")}
    assert set(re.findall(r"`([a-z_]+)`", told)) - modules - packages == set()


def test_the_changelog_knows_this_version() -> None:
    assert __version__ in text(ROOT / "CHANGELOG.md")


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md", "docs/glossary.md", "docs/releasing.md"])
def test_pages_for_people_are_reached_from_the_readme(name: str) -> None:
    assert f"({name})" in text(README)


def test_the_workflow_has_every_python_that_the_package_names() -> None:
    project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
    said = re.findall(r"^Programming Language :: Python :: (3\.\d+)$", "\n".join(project["classifiers"]), re.MULTILINE)
    matrix = re.search(r"^ +python: \[(.*)\]$", text(ROOT / ".github" / "workflows" / "checks.yml"), re.MULTILINE)
    assert matrix
    assert re.findall(r"\"(3\.\d+)\"", matrix[1]) == said


@pytest.mark.parametrize("form", ["bug", "feature"])
def test_templates_ask_for_the_status(form: str) -> None:
    assert "agent status --json" in text(ROOT / ".github" / "ISSUE_TEMPLATE" / f"{form}.yml")
    assert "agent status --json" in text(TEMPLATE)


def test_the_licence_is_there() -> None:
    assert text(ROOT / "LICENSE").startswith("MIT License")
