"""Another user of the machine, or whoever gets to see its output, wants secrets (threats T6, T7).

Expected: no socket, no file, no swapped folder; the code, keys and secret answers stand nowhere but where they belong.
State files as such: tests/adapters/storage/test_state.py.
"""

from __future__ import annotations

import base64
import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent.adapters.storage.files import private_folder
from agent.adapters.storage.household import HouseholdFile
from agent.adapters.storage.lock import bind_socket, only_one
from agent.adapters.storage.schema import open_database
from agent.client.control_socket import Client, check_server
from agent.errors import AgentError, Forbidden, StateError
from agent.paths import runtime_folder
from tests.attacks.conftest import Scene
from tests.e2e.conftest import MakeNetwork, network
from tests.e2e.device import Device, until

__all__ = ["network"]
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def as_nobody(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command as another user."""
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return subprocess.run([*become, *words], capture_output=True, text=True, check=False, timeout=30, cwd="/")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder in /tmp that everybody may look into."""
    with tempfile.TemporaryDirectory(prefix="attack-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


# --- another user of the machine -------------------------------------------------------------------------------------

CONNECT = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"POST /v1/rpc HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 51\\r\\n\\r\\n" + sys.argv[2].encode())
print(s.recv(400))
"""


@pytest.mark.device
@as_root
def test_another_user_cannot_ask_the_service(scene: Scene) -> None:
    """Attack: connect to the control socket as `nobody`, the folder closed and then opened. Expected: no, then 403."""
    asked = '{"jsonrpc":"2.0","id":1,"method":"session.list"}   '
    words = ("/usr/bin/env", "python3", "-c", CONNECT, str(scene.desk.socket), asked)
    assert "Permission" in as_nobody(*words).stderr
    opened = [scene.desk.socket, *list(scene.desk.socket.parents)[:-1]]
    modes = [(path, path.stat().st_mode) for path in opened]
    try:
        for path, mode in modes:  # as if its owner had been careless
            path.chmod(mode | (0o666 if path == scene.desk.socket else 0o055))
        answer = as_nobody(*words)
    finally:
        for path, mode in modes:
            path.chmod(mode)
    assert "403" in answer.stdout, answer
    assert "result" not in answer.stdout


@pytest.mark.device
@as_root
def test_another_user_can_read_no_file_of_the_home(scene: Scene) -> None:
    """Attack: read every file below the home. Expected: not one."""
    done = as_nobody("find", str(scene.desk.home / "state"), str(scene.desk.home / "run"), "-type", "f", "-readable")
    assert done.stdout == ""


@as_root
def test_a_folder_that_somebody_else_made_first_is_refused(shared: Path) -> None:
    """Attack: make /tmp/lan-agent-UID before its user does. Expected: refused, with the folder left as it is."""
    shared.chmod(0o1777)
    squatted = shared / "lan-agent-0"
    squatted.mkdir(mode=0o777)
    os.chown(squatted, NOBODY, NOBODY)
    with pytest.raises(StateError, match="belongs to another user"):
        private_folder(squatted / "run")
    with pytest.raises(StateError, match="belongs to another user"), only_one(squatted / "run"):
        pytest.fail("took a folder that its owner can swap")
    assert squatted.stat().st_uid == NOBODY


def test_a_folder_that_everybody_may_replace_is_refused(shared: Path) -> None:
    """Attack: a world-writable parent without the sticky bit. Expected: refused."""
    (shared / "open").mkdir()
    (shared / "open").chmod(0o777)
    with pytest.raises(StateError, match="everybody may replace"):
        private_folder(shared / "open" / "state")


def test_a_link_in_place_of_the_short_folder_is_refused(shared: Path) -> None:
    """Attack: the fallback folder of a long path is a link to somewhere else. Expected: refused."""
    (shared / "elsewhere").mkdir(mode=0o700)
    (shared / "run").symlink_to(shared / "elsewhere")
    with pytest.raises(StateError, match="symbolic link"), only_one(shared / "run"):
        pytest.fail("followed the link")


def test_long_paths_have_a_short_folder_each() -> None:
    """sun_path has 104 bytes on macOS: two long homes must not share a socket."""
    found = {runtime_folder({"LAN_AGENT_HOME": f"/home/{'x' * 200}/{number}"}) for number in range(3)}
    assert len(found) == 3
    assert all(len(str(folder / "control.sock")) < 104 for folder in found)


@pytest.mark.parametrize("kind", ["link", "file", "folder"])
def test_what_is_not_our_socket_is_left_alone(shared: Path, kind: str) -> None:
    """Attack: something else at the socket's path. Expected: an error, and it is still there."""
    victim, path = shared / "victim", shared / "control.sock"
    victim.write_text("precious")
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "file":
        path.write_text("x")
    else:
        path.mkdir()
    with pytest.raises(StateError, match="not a socket"):
        bind_socket(path)
    assert path.exists()
    assert victim.read_text() == "precious"


@as_root
def test_the_command_line_talks_to_no_other_users_service(shared: Path) -> None:
    """Attack: another user listens where the service should, and the path is swapped after it was looked at."""
    listening = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); "
        "print('on', flush=True); print(s.accept()[0].recv(9))"
    )
    shared.chmod(0o777)
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    path = str(shared / "control.sock")
    with subprocess.Popen([*become, "/usr/bin/env", "python3", "-c", listening, path], stdout=-1, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "on\n"
        with pytest.raises(Forbidden, match="another user"):
            Client(Path(path)).call("peer.list")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            with pytest.raises(Forbidden, match="another user listens"):
                check_server(sock)
        assert other.stdout.readline() in {"b''\n", ""}


@pytest.mark.parametrize("name", ["transcripts.db", "transcripts.db-wal", "transcripts.db-shm"])
def test_the_transcripts_are_not_written_through_a_link(shared: Path, name: str) -> None:
    """Attack: a link to another file in place of the database or its log. Expected: refused, target unchanged."""
    target = shared / "target"
    target.write_bytes(b"")
    (shared / name).symlink_to(target)
    with pytest.raises(StateError):
        open_database(shared / "transcripts.db")
    assert target.read_bytes() == b""


@pytest.mark.device
@pytest.mark.parametrize(
    "id_", ["../../../etc/passwd", "/etc/passwd", "desk/../../x", "a\0b", "%2e%2e%2f", "*", "-rf", "\u2215etc"]
)
def test_ids_are_never_paths(scene: Scene, id_: str) -> None:
    """Attack: a path in place of an id, of a session, request, backend or device. Expected: an error, no file."""
    before = set(scene.desk.home.parent.rglob("*"))
    for method, params in (
        ("session.history", {"session_id": id_}),
        ("session.close", {"session_id": id_}),
        ("request.answer", {"session_id": id_, "request_id": id_, "answer": id_}),
        ("session.create", {"backend": id_}),
        ("session.create", {"device": id_}),
        ("device.unpair", {"device": id_}),
    ):
        with pytest.raises(AgentError) as refused:
            scene.desk.ask(method, **params)
        assert refused.value.kind.endswith(("not-found", "-failed", "params", "paired")), refused.value.kind
    assert set(scene.desk.home.parent.rglob("*")) - before == set()


# --- whoever gets to see output --------------------------------------------------------------------------------------


def _seen(device: Device) -> str:
    """All that another process, a log collector or a backup of the log would get of a service."""
    assert device.service
    proc = Path(f"/proc/{device.service.pid}")
    return device.said() + "".join((proc / name).read_text(errors="replace") for name in ("cmdline", "environ"))


@pytest.mark.device
def test_no_secret_is_in_the_output_of_a_whole_run(network: MakeNetwork) -> None:
    """Attack: read logs (at debug level), argv, environment and every command's output. Expected: no secret in any."""
    hosts = network("desk", "laptop")
    desk, laptop = (
        Device(each.host, each.home, each.name, environ={"LAN_AGENT_DEBUG": "1", "PYTHONASYNCIODEBUG": "1"})
        for each in hosts
    )
    output: list[str] = []
    try:
        for device in (desk, laptop):
            device.start()
        for device in (desk, laptop):
            device.wait_until_up()
        window = desk.begin("pair")
        code = until(lambda: window.out, "a code")[0]
        wrong = f"{code[:3]}{'000-000' if not code.endswith('000-000') else '111-111'}"
        output.append(laptop.run("join", "-", input=f"{wrong}\n", status=5).stderr)
        output.append(laptop.run("join", "-", input=f"{code}\n").stderr)
        assert window.end() == 0
        laptop.wait_to_see(desk, linked=True)
        long = desk.begin("pair", "--long")
        long_code = until(lambda: long.out, "a long code")[0]
        long.process.terminate()
        long.end()
        session = desk.create("asks")
        laptop.wait_for_session(session)
        asking = laptop.begin("prompt", session, "read -rsp 'Password: ' word; echo; echo ${#word}")
        until(lambda: desk.status_of(session) == "needs-input", "the question")
        output.append(laptop.run("answer", session, "-", input="hunter2-xyzzy\n").stderr)
        assert asking.end() == 0
        assert asking.out[-1] == "13"
        output += [*asking.err, laptop.run("log", session).stdout, laptop.run("log", session, "--json").stdout]
        output += [device.run("status", "--json").stdout for device in (desk, laptop)]
        output += [device.run("devices", "--json").stdout for device in (desk, laptop)]
        output += [_seen(device) for device in (desk, laptop)]
        secrets = [code, code.replace("-", ""), code[3:], long_code, long_code.replace("-", ""), "hunter2-xyzzy"]
        for device in (desk, laptop):
            state = device.home / "state"
            key = load_pem_private_key((state / "identity.pem").read_bytes(), None)
            seed = key.private_bytes_raw()  # type: ignore[union-attr] # Ed25519
            secrets += [seed.hex(), base64.b64encode(seed).decode()[:40], repr(seed)[2:-1]]
            household = HouseholdFile(state).load()
            for epoch in household.keys if household else ():
                secrets += [epoch.key.hex(), base64.b64encode(epoch.key).decode(), repr(epoch.key)[2:-1]]
            for path in state.iterdir():
                if path.is_file() and path.name != "identity.pem":
                    output.append(path.read_bytes().decode("latin-1") if path.name != "household.json" else "")
        together = "\n".join(output)
        assert [secret for secret in secrets if secret in together] == []
    finally:
        for device in (desk, laptop):
            device.end_commands()


@pytest.mark.device
@pytest.mark.parametrize(("kind", "more"), [("commands", set()), ("shell", {"LAN_AGENT_BOX"})])
def test_a_program_started_by_a_session_learns_no_secret_from_its_environment(
    scene: Scene, kind: str, more: set[str]
) -> None:
    """Attack: `env` in a session. Expected: of ours, its home, its own id, paths, a setting of the test, no more."""
    session = scene.desk.create("env", "--backend", kind)
    shown = scene.desk.run("prompt", session, "env").stdout
    assert set(re.findall(r"^LAN_AGENT_\w+", shown, re.MULTILINE)) <= {
        "LAN_AGENT_HOME", "LAN_AGENT_SESSION", "LAN_AGENT_PAGE_PORT", *more,
    }  # fmt: skip
    if more:
        box = Path(re.findall(r"^LAN_AGENT_BOX=(.*)", shown, re.MULTILINE)[0])
        assert box.stat().st_mode & 0o777 == 0o700  # what signs its marks is in there
        assert (box / "nonce").read_text() not in shown
