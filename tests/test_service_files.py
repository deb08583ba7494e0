"""The units of systemd and launchd: they parse, start the service, and take nothing from the sessions."""

from __future__ import annotations

import configparser
import plistlib
from pathlib import Path

from agent.frontends.cli.main import COMMANDS, Exit

FOLDER = Path(__file__).parents[1] / "systemd"

INHERITED = {
    "NoNewPrivileges", "RestrictAddressFamilies", "SystemCallFilter", "SystemCallArchitectures", "LockPersonality",
    "RestrictSUIDSGID", "RestrictNamespaces", "RestrictRealtime", "MemoryDenyWriteExecute", "UMask", "PrivateTmp",
    "ProtectHome", "ProtectSystem",
}  # fmt: skip
"""What sessions would inherit: sudo, other people's programs and file modes would break in them."""


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # directives keep their case
    parser.read(FOLDER / "lan-agent.service", encoding="utf-8")
    return parser


def test_the_unit_runs_up_and_leaves_a_wrong_setting_alone() -> None:
    service = unit()["Service"]
    program, command = service["ExecStart"].split()
    assert program.endswith("/agent")
    assert command in COMMANDS
    assert int(service["RestartPreventExitStatus"]) == Exit.BAD_CONFIG
    assert service["KillMode"] == "mixed"


def test_the_unit_does_not_fence_in_the_sessions() -> None:
    assert set(unit()["Service"]) & INHERITED == set()


def test_the_launch_agent_runs_up_and_ends_for_good() -> None:
    with (FOLDER / "dev.lan-agent.plist").open("rb") as file:
        agent = plistlib.load(file)
    assert agent["Label"] == "dev.lan-agent"
    assert agent["ProgramArguments"][0].endswith("/agent")
    assert agent["ProgramArguments"][1] in COMMANDS
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
