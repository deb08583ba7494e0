"""A backend of another package: one module, one entry point and one page of docs, which is where its code is from."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeNetwork
from tests.e2e.device import ROOT, Device, pair

pytestmark = pytest.mark.device

PAGE = (ROOT / "docs" / "design" / "backends.md").read_text()
BROKEN = '[project.entry-points."lan_agent.backends"]\nlost = "lost_backend:LostBackend"\n'


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def install(folder: Path, name: str, entry_points: str, code: str) -> None:
    """Make a package and install it with pip under `folder/site`; nothing is downloaded."""
    source = folder / name
    source.mkdir()
    (source / f"{name}.py").write_text(code)
    build = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
    (source / "pyproject.toml").write_text(f'{build}[project]\nname = "{name}"\nversion = "1"\n{entry_points}')
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*pip, *offline, "--target", str(folder / "site"), str(source)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def names(device: Device, *argv: str) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in device.json("backends", *argv)}


def test_a_small_foreign_package_is_a_backend_on_every_device(network: MakeNetwork, tmp_path: Path) -> None:
    desk, laptop = network("desk", "laptop")
    install(tmp_path, "count_backend", block("toml"), block("python"))
    install(tmp_path, "lost_package", BROKEN, "")
    desk.configure('[backends.mine]\nkind = "nothing"\n')
    desk.add_environ(PYTHONPATH=f"{ROOT}:{tmp_path / 'site'}")
    desk.up()
    laptop.up()
    pair(desk, laptop)

    # Listed where it is, and from elsewhere.
    own = names(desk)
    assert (own["count"]["ready"], own["count"]["kind"], own["count"]["description"]) == (True, "count", "counts words")
    assert own["shell"]["default"]
    assert own["ollama"]["missing"] == "no Ollama at http://127.0.0.1:11434"
    seen = names(laptop, "--on", "desk")
    assert seen["count"]["ready"]
    assert "count" not in names(laptop)

    # It runs, prompted from the other device.
    session = laptop.line("new", "--on", "desk", "--backend", "count", "--title", "Words")
    assert laptop.line("prompt", session, "one two three") == "3 words"
    assert desk.sessions()[session]["backend"] == "count"

    # What is broken harms nothing, and the owner is told why, nobody else.
    assert own["lost"]["missing"] == "ModuleNotFoundError: No module named 'lost_backend'"
    assert str(own["mine"]["missing"]).startswith("there is no kind 'nothing'; there are: ")
    assert seen["lost"]["missing"] == seen["mine"]["missing"] == "it cannot be used there yet"
    problems = "\n".join(desk.ask("gateway.status")["problems"])
    assert "the backend 'lost' (lost_backend:LostBackend) cannot be used" in problems
    assert "[backends.mine] in config.toml" in problems
    for name in ("lost", "mine", "never"):
        refused = laptop.run("new", "--on", "desk", "--backend", name, status=2).stderr
        assert f"no backend '{name}' on desk" in refused
        assert "`agent backends --on desk`" in refused
    table = desk.run("backends").stdout
    assert re.search(r"^shell\tready\t.*\tdefault\t", table, re.MULTILINE)
    assert table.index("count") < table.index("lost")

    # Without the package its sessions stay, and say what is missing.
    desk.leave()
    desk.add_environ(PYTHONPATH=str(ROOT))
    desk.up()
    assert "the backend 'count' is not installed" in desk.run("prompt", session, "four", status=1).stderr
    laptop.assert_healthy()
