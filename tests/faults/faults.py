"""How each kind of fault is made, and how it ends. All of it blocks: it runs in a thread."""

from __future__ import annotations

import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from tests.faults.clients import now
from tests.faults.model import Model
from tests.faults.scene import Machine
from tests.faults.schedule import Fault

Change = Callable[[Machine, Fault, Model], None]
HOUR = 3600.0


def _nothing(machine: Machine, fault: Fault, model: Model) -> None:
    pass


def _start(machine: Machine, fault: Fault, model: Model) -> None:
    machine.started(model)


def _kill(machine: Machine, fault: Fault, model: Model) -> None:
    machine.kill()


def _stop(machine: Machine, fault: Fault, model: Model) -> None:
    machine.stopped(model)
    machine.keep_copy()


def _restore(machine: Machine, fault: Fault, model: Model) -> None:
    machine.stopped(model)
    for old in machine.state.iterdir():
        old.unlink() if not old.is_dir() else shutil.rmtree(old)
    shutil.copytree(machine.copy, machine.state, dirs_exist_ok=True)
    machine.started(model)


def _damage(machine: Machine, fault: Fault, model: Model) -> None:
    # A session made for it: two prompts, then a record in its middle is none any more (issue 9, 3.6).
    spare = machine.ask("session.create", backend="commands", title="spare", cwd=str(machine.home.parent), default=None)
    if spare is None:
        return
    session = spare["session_id"]
    machine.ask("prompt.submit", session_id=session, prompt_id=f"spare-{session}", text="echo one", default=None)
    machine.stopped(model)
    with closing(sqlite3.connect(machine.state / "transcripts.db")) as database, database:
        number = "(SELECT number FROM session WHERE id = ?)"
        database.execute(f"UPDATE event SET payload = X'C1' WHERE seq = 2 AND session = {number}", (session,))
    machine.started(model)
    row = machine.sessions().get(session)
    if row is None:
        model.wrong("hidden", f"the damaged session {session} of {machine.name} is listed nowhere")
    machine.ask("session.close", session_id=session, default=None)


def _freeze(machine: Machine, fault: Fault, model: Model) -> None:
    assert machine.service is not None
    machine.service.send_signal(signal.SIGSTOP)


def _thaw(machine: Machine, fault: Fault, model: Model) -> None:
    assert machine.service is not None
    if fault.kind == "suspend":
        machine.offset += fault.amount * HOUR
        machine.tell_time(0.0)
    machine.service.send_signal(signal.SIGCONT)


def _lose(percent: float, *, sent: bool = True, received: bool = True) -> Change:
    return lambda machine, fault, model: machine.host.lose(percent or fault.amount, sent=sent, received=received)


def _pass(machine: Machine, fault: Fault, model: Model) -> None:
    machine.host.lose(0)


def _readdress(machine: Machine, fault: Fault, model: Model) -> None:
    machine.addresses += 1
    machine.host.set_ipv4(f"10.64.0.{machine.number * 60 + machine.addresses % 60}")


_ADDRESS: dict[str, str] = {}


def _take_ipv4(machine: Machine, fault: Fault, model: Model) -> None:
    _ADDRESS[machine.name] = machine.host.ipv4
    machine.host.set_ipv4(None)


def _give_ipv4(machine: Machine, fault: Fault, model: Model) -> None:
    machine.host.set_ipv4(_ADDRESS[machine.name])


def _shift(machine: Machine, fault: Fault, model: Model) -> None:
    machine.tell_time(fault.amount * HOUR)


def _shift_back(machine: Machine, fault: Fault, model: Model) -> None:
    machine.tell_time(0.0)


def _fill(machine: Machine, fault: Fault, model: Model) -> None:
    with suppress(OSError), Path(machine.state, "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(65_536))


def _empty(machine: Machine, fault: Fault, model: Model) -> None:
    Path(machine.state, "filler").unlink(missing_ok=True)


HOW: dict[str, tuple[Change, Change]] = {
    "kill": (_kill, _start),
    "restart": (_stop, _start),
    "stop": (_freeze, _thaw),
    "suspend": (_freeze, _thaw),
    "cable": (lambda machine, fault, model: machine.host.unplug(), lambda machine, fault, model: machine.host.plug()),
    "mute": (_lose(100, received=False), _pass),
    "deaf": (_lose(100, sent=False), _pass),
    "silent": (_lose(100), _pass),
    "loss": (_lose(0), _pass),
    "reset": (lambda machine, fault, model: machine.host.reset_connections(), _nothing),
    "address": (_readdress, _nothing),
    "ipv6-only": (_take_ipv4, _give_ipv4),
    "down": (lambda machine, fault, model: machine.host.down(), lambda machine, fault, model: machine.host.up()),
    "gone": (lambda machine, fault, model: machine.host.remove(), lambda machine, fault, model: machine.host.insert()),
    "no-multicast": (lambda machine, fault, model: machine.host.lose_multicast_dns(), _pass),
    "clock": (_shift, _shift_back),
    "disk": (_fill, _empty),
    "restore": (_restore, _nothing),
    "damage": (_damage, _nothing),
}
"""Kind -> how it begins, how it ends."""


def begin(machine: Machine, fault: Fault, model: Model) -> None:
    """Make it fail."""
    HOW[fault.kind][0](machine, fault, model)


def end(machine: Machine, fault: Fault, model: Model) -> float:
    """Mend it; when it was mended (monotonic seconds)."""
    if fault.kind in {"kill", "restart"}:
        HOW[fault.kind][1](machine, fault, model)
        return now()  # of a start: once the service answers
    mended = now()
    HOW[fault.kind][1](machine, fault, model)
    return mended if fault.kind not in {"restore", "damage"} else now()
