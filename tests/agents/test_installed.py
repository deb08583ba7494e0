"""Where real agents are looked for."""

from __future__ import annotations

from pathlib import Path

from tests.agents import program_of


def test_a_program_in_the_given_folders_comes_before_path_and_a_binary_before_its_wrapper(tmp_path: Path) -> None:
    wrapper = tmp_path / "one/node_modules/.bin/codex-acp"
    binary = tmp_path / "one/node_modules/@vendor/codex-acp-linux-x64/bin/codex-acp"
    on_path = tmp_path / "usr/local/bin/codex-acp"
    for program in (wrapper, binary, on_path):
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    path = {"PATH": str(on_path.parent)}
    assert program_of("codex", path) == on_path
    for folder in (tmp_path, tmp_path / "one"):
        assert program_of("codex", {**path, "LAN_AGENT_TEST_AGENTS": f"/nowhere:{folder}"}) == binary
    assert program_of("gemini", path) is None
