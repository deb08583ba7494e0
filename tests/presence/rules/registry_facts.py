"""Short ways to say the facts that the registry tests are about."""

from __future__ import annotations

from agent.presence.rules.registry import Changes, Registry
from agent.protocol.model import (
    DeviceId,
    DeviceRef,
    Endpoint,
    PairedDevice,
    PresenceRecord,
    SessionClaim,
    SessionId,
    SessionRow,
    Status,
)
from agent.protocol.times import rfc3339

NOW = 1_800_000_000.0
OWN = DeviceId("ownownownownowna")
DEN = DeviceId("dendendendendena")
BOX = DeviceId("boxboxboxboxboxa")


def registry(**limits: int) -> Registry:
    return Registry(OWN, name="here", version="1.0", **limits)


def claim(
    session: str = "abcdef", status: Status = Status.IDLE, at: int = int(NOW), title: str = "build"
) -> SessionClaim:
    return SessionClaim(id=session, status=status, updated_at=at, title=title)


def record(
    device: DeviceId = DEN,
    revision: int = 1,
    *claims: SessionClaim,
    name: str = "den",
    hosts: tuple[str, ...] = ("10.0.0.2",),
    port: int = 7777,
    more: int = 0,
) -> PresenceRecord:
    counts = [each.status for each in claims]
    return PresenceRecord(
        device=device,
        revision=revision,
        name=name,
        port=port,
        hosts=hosts,
        working=counts.count(Status.WORKING),
        needs_input=counts.count(Status.NEEDS_INPUT),
        idle=counts.count(Status.IDLE) + more,
        more=more,
        sessions=claims,
    )


def row(session: str = "abcdefghijklmnop", *, at: float = NOW, title: str = "build", **more: object) -> SessionRow:
    fields: dict[str, object] = {
        "status": Status.IDLE,
        "device": DeviceRef(DeviceId("whatever"), "whoever"),
        "local": True,
        "attachable": True,
        "backend": "shell",
        "model": "",
        "created_at": rfc3339(NOW - 60),
    }
    return SessionRow(id=SessionId(session), title=title, updated_at=rfc3339(at), **(fields | more))  # type: ignore[arg-type]  # overrides are checked by the tests


def paired(device: DeviceId = DEN, name: str = "Den", **more: object) -> PairedDevice:
    return PairedDevice(id=device, name=name, certificate=b"", paired_at=0.0, **more)  # type: ignore[arg-type]  # as above


def link_up(view: Registry, device: DeviceId = DEN, name: str = "Den", now: float = NOW) -> Changes:
    return view.link_up(device, name=name, version="1.0", endpoint=Endpoint("10.0.0.2", 7777), now=now)


def state(view: Registry, device: DeviceId = DEN) -> str:
    found = view.device(device)
    return found.state if found else "gone"


def ids(view: Registry) -> list[str]:
    return [each.id for each in view.sessions("remote")]
