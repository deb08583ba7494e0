"""The kinds of session that the settings and this machine offer: one for each Hermes gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from agent.adapters.backends.hermes.config import GatewayConfig, gateway_config
from agent.adapters.backends.hermes.hub import Hub, HubTimeouts
from agent.adapters.backends.hermes.process import end_leftovers
from agent.adapters.backends.hermes.redact import Redactor
from agent.adapters.backends.hermes.session import HermesSession
from agent.adapters.backends.hermes.wire import TokenRefused
from agent.adapters.backends.launching import working_folder
from agent.errors import BackendFailed
from agent.ports import Backend, BackendConfig, BackendType, Emit, Inspection, Offered, Start
from agent.protocol.model import SessionId

GATEWAY = "hermes-gateway"
"""The member that tells of a gateway which nobody has enabled."""
ENABLE = 'put [backends.hermes] with kind = "hermes" into config.toml'


class HermesFamily:
    """The gateways that the settings name, as kinds of session (`ports.BackendFamily`)."""

    def members(self, configured: Mapping[str, BackendConfig]) -> Sequence[BackendType]:
        """One kind for each table of the settings; without any, one that says how to add one. Raises: BackendFailed."""
        named = [HermesBackend(gateway_config(name, config), config.description) for name, config in configured.items()]
        return named or [FoundGateway()]


class HermesBackend:
    """One gateway as a kind of session (`ports.BackendType`, `ports.FindsSessions`, `ports.ClearsUp`)."""

    takes_command = False
    kind = "hermes"

    def __init__(self, config: GatewayConfig, description: str = "", *, timeouts: HubTimeouts | None = None) -> None:
        self.name = config.name
        self.description = description or "Hermes, every live session of its gateway"
        self._config = config
        self._hub = Hub(config, timeouts)
        self._redactor = Redactor()
        self._cleared = False

    def missing(self) -> str:
        """What must be installed before the gateway can be used, as a sentence; empty if nothing."""
        return self._hub.own.missing() if self._hub.own is not None else ""

    async def start(self, start: Start, emit: Emit) -> Backend:
        """Create, resume or join a session; a gateway of our own is started for it. Raises: BackendFailed."""
        cwd = "" if start.found or start.restored else str(working_folder(start.cwd or self._config.cwd))
        hub = self._hub
        await hub.enter()
        try:
            hub.need(start.session)
            await hub.reached()
            session = HermesSession(hub, start, emit, self._redactor)
        except BaseException:
            await hub.leave()
            raise
        try:
            await session.begin(cwd)
        except BaseException:
            await session.let_go()
            raise
        return session

    async def clear_up(self, session: SessionId) -> None:  # noqa: ARG002 - the gateway may be older than the session
        """End what a gateway of our own has left behind (`ports.ClearsUp`)."""
        await self._clear_up()

    async def watch(self, offered: Offered) -> None:
        """Tell which sessions live at the gateway, until cancelled (`ports.FindsSessions`)."""
        await self._clear_up()
        await self._hub.watch(offered)

    async def _clear_up(self) -> None:
        if self._hub.own is not None and not self._cleared:
            self._cleared = True  # once for all sessions
            await asyncio.to_thread(end_leftovers)

    async def inspect(self) -> Inspection:
        """Tell which gateway there is, of which generation, and what is missing (`ports.Inspects`)."""
        hub = self._hub
        if hub.connected:
            kind = "newer" if hub.newer else "older"
            whose = "our own" if hub.own is not None else "joined"
            port = hub.base.rpartition(":")[2]
            return Inspection(detail=f"Hermes {hub.version}, {kind} generation, port {port}, {whose}")
        if missing := self.missing():
            return Inspection(missing=missing, hint="install hermes-agent, or set argv")
        if hub.own is not None:
            trouble = hub.trouble
            detail = "a gateway of our own, started with the first session"
            return Inspection(detail=f"{detail}; {trouble}" if trouble is not None else detail)
        from agent.adapters.backends.hermes.locate import gateway_to_join  # noqa: PLC0415 - aiohttp, which the command line lacks

        try:
            gateway, _ = await gateway_to_join(self._config)
        except BackendFailed as exc:
            return Inspection(missing=str(exc), hint=exc.hint)
        if isinstance(hub.trouble, TokenRefused):
            return Inspection(missing=str(hub.trouble), hint=hub.trouble.hint)
        return Inspection(detail=f"Hermes {gateway.version} on port {gateway.port}")


class FoundGateway:
    """A kind of session that is never used: it says which gateway runs here, and how its sessions are shown."""

    name = GATEWAY
    description = "Hermes, every live session of its gateway"
    takes_command = False

    def missing(self) -> str:
        """Say that the gateway's sessions are not enabled."""
        return "no gateway of Hermes is enabled in the settings"

    async def start(self, start: Start, emit: Emit) -> Backend:  # noqa: ARG002 - the port's
        """Refuse to start anything. Raises: BackendFailed."""
        raise BackendFailed(self.missing(), hint=ENABLE)

    async def inspect(self) -> Inspection:
        """Tell which gateways answer now (`ports.Inspects`)."""
        from agent.adapters.backends.hermes.locate import find_gateways  # noqa: PLC0415 - aiohttp, which the command line lacks

        found = [
            f"Hermes {each.version} on port {each.port}" + (f" (process {each.process})" if each.process else "")
            for each in await find_gateways()
        ]
        detail = ", ".join(found)
        if not found:
            return Inspection(missing=f"{self.missing()}, and none runs", hint=ENABLE)
        missing = f"{detail} runs, but is not enabled in the settings"
        return Inspection(detail=detail, missing=missing, hint=f'{ENABLE}; mode = "join" uses that one')
