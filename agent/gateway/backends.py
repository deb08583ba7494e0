"""`backend.list`: of this device, or of another one that is asked over its link."""

from __future__ import annotations

from agent.links.peers import Peers
from agent.links.rules.results import read_result
from agent.ports import Channel
from agent.presence.rules.registry import Registry
from agent.protocol.backends import ListBackends, for_others
from agent.protocol.model import DeviceId
from agent.sessions.catalog import BackendCatalog


class BackendMethods:
    """Answers it. Other devices learn less (`protocol.backends.for_others`), and never of a third one (L7)."""

    def __init__(self, own: DeviceId, registry: Registry, peers: Peers, backends: BackendCatalog) -> None:
        self._own = own
        self._registry = registry
        self._peers = peers
        self._backends = backends

    async def list(self, channel: Channel, asked: ListBackends) -> object:
        """The rows, those that are ready first. Raises: DeviceNotFound, Ambiguous, and what `Peers.call` does."""
        if channel.device is not None:
            return [for_others(row) for row in await self._backends.rows()]
        device = self._registry.find_device(asked.device) if asked.device else self._own
        if device != self._own:
            row = self._registry.device(device)
            told = await self._peers.call(device, "backend.list", ListBackends())
            return read_result(told, "backend.list", row.name if row else device)
        return await self._backends.rows()
