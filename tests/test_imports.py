"""The import table of DESIGN §2, held by reading every module, function bodies included.

errors  ←  protocol  ←  core  ←  ports  ←  tasks  ←  services  ←  gateway  ←  daemon  ←  cli.up
adapters (discovery, storage, net, backends): tasks, ports, core, errors
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "agent").rglob("*.py"))

PURE = {"errors", "protocol", "core", "ports"}
ADAPTERS = {"discovery", "storage", "net", "backends"}
MAY_IMPORT = {
    "errors": set[str](),
    "protocol": {"errors"},
    "core": {"errors", "protocol"},
    "ports": {"errors", "protocol", "core"},
    "tasks": PURE,
    "services": PURE | {"tasks"},
    "gateway": PURE | {"services", "tasks"},
    **dict.fromkeys(ADAPTERS, PURE | {"tasks", "processes"}),
    # Beside the layers: what the daemon resolves once and hands to the parts as values.
    "config": set[str](),
    "settings": {"config", "ports", "core", "errors"},
    "log": {"core"},
    "clock": set[str](),
    "processes": set[str](),  # what the kernel tells: for backends, and for a command that starts a program
    "daemon": PURE | ADAPTERS | {"services", "gateway", "settings", "log", "clock", "config", "tasks"},
    # The command line talks to the service over its socket: it knows the wire, not the parts behind it.
    "cli": PURE | {"config", "clock", "settings", "daemon", "processes"},
    "__main__": {"cli"},
}
"""Package or module of agent/ -> what else of agent/ it may import. `agent` itself (the version) is for all."""

ONLY_IN = {
    "zeroconf": ("agent.discovery.mdns",),
    "ifaddr": ("agent.discovery",),
    "aiohttp": (
        "agent.net",
        "agent.gateway",
        "agent.daemon",
        "agent.cli",
        "agent.backends.hermes",
        "agent.backends.openai",
    ),
    "cryptography": ("agent.core.identity", "agent.core.pairing", "agent.core.seal", "agent.storage.identity"),
    "spake2": ("agent.core.pairing",),
    "sqlite3": ("agent.storage",),
    "ssl": ("agent.net", "agent.daemon"),
    "click": ("agent.cli",),
    "segno": ("agent.cli.qr",),
    "platformdirs": ("agent.config", "agent.settings"),
}
"""Library -> the modules that may import it."""

IMPURE = {
    "aiohttp", "asyncio", "concurrent", "http", "io", "logging", "multiprocessing", "os", "pathlib", "random",
    "secrets", "select", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time",
    "urllib", "zeroconf",
}  # fmt: skip
"""What would let the core wait, read a clock, throw dice, log or reach outside the process."""


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(source: str) -> set[str]:
    """Every module that the source imports anywhere, absolute; `from agent import x` counts as `agent.x`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            found |= {f"agent.{alias.name}" for alias in node.names} if module == "agent" else {module}
    return found


def layer(module: str) -> str:
    """`agent.core.wire` -> `core`; empty for the package itself."""
    return module.split(".")[1] if "." in module else ""


def wrong_imports(module: str, imported: set[str]) -> list[str]:
    """What of agent/ a module imports against the table."""
    own = layer(module)
    allowed = MAY_IMPORT.get(own, set()) | {own, "", "__version__"}
    return sorted(each for each in imported if each.split(".")[0] == "agent" and layer(each) not in allowed)


IMPORTS = {name_of(path): imports_of(path.read_text(encoding="utf-8")) for path in MODULES}


def test_every_package_has_its_row_in_the_table() -> None:
    assert {layer(module) for module in IMPORTS} - {""} == set(MAY_IMPORT)


@pytest.mark.parametrize("module", IMPORTS)
def test_imports_point_one_way(module: str) -> None:
    assert wrong_imports(module, IMPORTS[module]) == []


def test_only_the_daemon_names_adapters() -> None:
    naming = {module for module, imported in IMPORTS.items() if {layer(each) for each in imported} & ADAPTERS}
    assert {module for module in naming if layer(module) not in ADAPTERS} == {"agent.daemon"}


def test_an_adapter_does_not_know_another_one() -> None:
    for module, imported in IMPORTS.items():
        if layer(module) in ADAPTERS:
            assert {layer(each) for each in imported if layer(each) in ADAPTERS} <= {layer(module)}, module


def test_only_up_starts_the_daemon() -> None:
    assert [module for module, imported in IMPORTS.items() if "agent.daemon" in imported] == ["agent.cli.up"]


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_stays_in_its_place(library: str) -> None:
    used = [module for module, imported in IMPORTS.items() if library in {each.split(".")[0] for each in imported}]
    assert used, f"{library} is not used: take it out of pyproject.toml and of this table"
    strays = [module for module in used if not any(f"{module}.".startswith(f"{at}.") for at in ONLY_IN[library])]
    assert strays == []


@pytest.mark.parametrize("module", [module for module in IMPORTS if layer(module) in {"protocol", "core"}])
def test_the_core_and_the_protocol_are_pure(module: str) -> None:
    path = ROOT / module.replace(".", "/")
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    assert {each.split(".")[0] for each in IMPORTS[module]} & IMPURE == set()
    waits = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    assert waits == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("agent.core.wire", "import agent.ports"),
        ("agent.services.peers", "from agent.net.dial import TlsDialer"),
        ("agent.net.link", "from agent.services.peers import Peers"),
        ("agent.gateway.server", "from agent.storage.state import StateFile"),
        ("agent.daemon", "from agent.cli.main import main"),
        ("agent.services.peers", "def f():\n    from agent import settings"),
    ],
)
def test_the_table_catches(module: str, line: str) -> None:
    assert wrong_imports(module, imports_of(line)) != []
