"""The import table of DESIGN §2, held by reading every module, function bodies included.

protocol ← ports ← domains (presence ← sessions ← terminals ← links ← trust) ← gateway ← daemon ← frontends.cli.up
assembly (the parts of one device, put together), health: between the domains and the daemon
adapters: ports, protocol, errors; front ends: client, protocol
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "agent").rglob("*.py"))

BASE = {"errors", "protocol"}
PURE = BASE | {"ports"}
DOMAINS = ("presence", "sessions", "terminals", "links", "trust")
"""In the order in which they may know each other: each one those before it, and not those behind it."""
ADAPTERS = {"adapters.backends", "adapters.discovery", "adapters.net", "adapters.rendering", "adapters.storage"}
FRONT_ENDS = {"frontends.cli", "frontends.editors", "frontends.hermes_ui"}
LOCAL = BASE | {"paths", "clock", "processes", "pending_calls", "peercred"}
"""What a client of the service knows beside `client`: the wire, and where the control socket is."""

RULES: dict[str, set[str]] = {
    f"{domain}.rules": PURE | {f"{each}.rules" for each in DOMAINS[:number]} for number, domain in enumerate(DOMAINS)
}
SERVICES: dict[str, set[str]] = {
    domain: PURE | {"tasks", "observers", "problems", f"{domain}.rules"} | {*DOMAINS[:number], *list(RULES)[:number]}
    for number, domain in enumerate(DOMAINS)
}
ALL_DOMAINS = {*RULES, *SERVICES}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "protocol": {"errors"},
    "core": {"protocol"},  # a name that backends of others have
    "ports": BASE,
    "tasks": PURE,
    "observers": set(),
    "problems": set(),
    **{rules: allowed for rules, allowed in RULES.items() if rules != "terminals.rules"},  # it has none yet
    **SERVICES,
    "gateway": PURE | ALL_DOMAINS | {"tasks", "peercred"},
    "adapters": set(),
    "adapters.backends": PURE | {"tasks", "processes", "pending_calls"},
    # The flow of DESIGN §2: what is heard becomes a record where it is heard.
    "adapters.discovery": PURE | {"tasks", "presence.rules"},
    "adapters.net": PURE | {"tasks", "pending_calls"},
    "adapters.rendering": PURE,
    "adapters.storage": PURE | {"tasks"},
    # Beside the layers: what the daemon resolves once and hands to the parts as values.
    "paths": {"errors"},
    "settings": PURE | {"paths"},
    "log": {"protocol"},
    "clock": set(),
    "pending_calls": {"protocol"},  # who waits for which answer, for every transport
    "peercred": set(),  # who is at the other end of a Unix socket
    "processes": set(),  # what the kernel tells: for backends, and for a command that starts a program
    "assembly": PURE | ALL_DOMAINS | {"problems", "settings"},
    "health": PURE | ALL_DOMAINS | {"assembly", "problems"},
    "daemon": PURE
    | ADAPTERS
    | ALL_DOMAINS
    | {"assembly", "gateway", "health", "problems", "settings", "log", "clock", "paths", "processes", "tasks"},
    # Front ends talk to the service over its socket: they know the wire, not the parts behind it.
    "client": LOCAL,
    "frontends": set(),
    "frontends.cli": LOCAL | {"client", "frontends.editors", "frontends.hermes_ui", "daemon"},  # it starts the others
    "frontends.editors": LOCAL | {"client"},
    "frontends.hermes_ui": LOCAL | {"client"},
    "__main__": {"frontends.cli"},
}
"""Package or module of agent/ -> what else of agent/ it may import. `agent` itself (the version) is for all."""

ONLY_IN = {
    "zeroconf": ("agent.adapters.discovery.mdns",),
    "ifaddr": ("agent.adapters.discovery",),
    "aiohttp": (
        "agent.adapters.net",
        "agent.gateway",
        "agent.daemon",
        "agent.client",
        "agent.frontends",
        "agent.adapters.backends.hermes",
        "agent.adapters.backends.openai",
    ),
    "cryptography": (
        "agent.protocol.identity",
        "agent.trust.rules.handshake",
        "agent.trust.rules.page_login",
        "agent.trust.page_logins",
        "agent.presence.rules.seal",
        "agent.adapters.storage.identity",
    ),
    "spake2": ("agent.trust.rules.handshake",),
    "sqlite3": ("agent.adapters.storage",),
    "ssl": ("agent.adapters.net", "agent.daemon"),
    "click": ("agent.frontends.cli",),
    "markdown_it": ("agent.adapters.rendering.markdown",),
    "segno": ("agent.adapters.rendering.qr",),
    "platformdirs": ("agent.paths", "agent.settings"),
}
"""Library -> the modules that may import it."""

IMPURE = {
    "aiohttp", "asyncio", "concurrent", "http", "io", "logging", "multiprocessing", "os", "pathlib", "random",
    "secrets", "select", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time",
    "urllib", "zeroconf",
}  # fmt: skip
"""What would let rules wait, read a clock, throw dice, log or reach outside the process."""


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


NAMES = {name_of(path) for path in MODULES}


def as_module(package: str, name: str) -> str:
    """What `from package import name` imports: a module of that name if there is one."""
    return f"{package}.{name}" if package == "agent" or f"{package}.{name}" in NAMES else package


def imports_of(source: str) -> set[str]:
    """Every module that the source imports anywhere, absolute; `from agent import x` counts as `agent.x`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {as_module(node.module or "", alias.name) for alias in node.names}
    return found


def layer(module: str) -> str:
    """`agent.links.rules.relay` -> `links.rules`: its longest row in the table; empty for the package itself."""
    parts = module.split(".")[1:]
    named = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in named if name in MAY_IMPORT), parts[0] if parts else "")


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
    assert [module for module, imported in IMPORTS.items() if "agent.daemon" in imported] == ["agent.frontends.cli.up"]


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_stays_in_its_place(library: str) -> None:
    used = [module for module, imported in IMPORTS.items() if library in {each.split(".")[0] for each in imported}]
    assert used, f"{library} is not used: take it out of pyproject.toml and of this table"
    strays = [module for module in used if not any(f"{module}.".startswith(f"{at}.") for at in ONLY_IN[library])]
    assert strays == []


def is_pure(module: str) -> bool:
    return layer(module) == "protocol" or layer(module).endswith(".rules")


@pytest.mark.parametrize("module", [module for module in IMPORTS if is_pure(module)])
def test_the_protocol_and_all_rules_are_pure(module: str) -> None:
    path = ROOT / module.replace(".", "/")
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    assert {each.split(".")[0] for each in IMPORTS[module]} & IMPURE == set()
    waits = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    assert waits == []


def test_no_module_imports_itself_by_a_detour() -> None:
    left = {module: {each for each in imported if each in IMPORTS} for module, imported in IMPORTS.items()}
    while leaves := {module for module, imported in left.items() if not imported & left.keys()}:
        left = {module: imported for module, imported in left.items() if module not in leaves}
    assert {module: sorted(imported & left.keys()) for module, imported in left.items()} == {}


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("agent.protocol.codec", "import agent.ports"),
        ("agent.links.peers", "from agent.adapters.net.dial import TlsDialer"),
        ("agent.adapters.net.link", "from agent.links.peers import Peers"),
        ("agent.gateway.server", "from agent.adapters.storage.state import StateFile"),
        ("agent.daemon", "from agent.frontends.cli.main import main"),
        ("agent.links.peers", "def f():\n    from agent import settings"),
        ("agent.presence.service", "from agent.links.peers import Peers"),
        ("agent.presence.rules.registry", "from agent.presence.service import Presence"),
        ("agent.adapters.net.link", "from agent.trust.rules.rights import Rights"),
        ("agent.client.stream", "from agent.sessions.host import Sessions"),
        ("agent.frontends.editors.editor_agent", "from agent.frontends.hermes_ui.ui_gateway import Serving"),
    ],
)
def test_the_table_catches(module: str, line: str) -> None:
    assert wrong_imports(module, imports_of(line)) != []
