"""Backends for tests that join a scripted gateway."""

from __future__ import annotations

from agent.adapters.backends.hermes.config import GatewayConfig, gateway_config
from agent.adapters.backends.hermes.hub import HubTimeouts
from agent.ports import BackendConfig

QUICK = HubTimeouts(poll=0.02, answer=1.0, call=2.0, retry=0.02, retry_max=0.05, reach=2.0, give_up=0.5, again=0.05)
"""A pace for gateways in the same process."""


def join(url: str, *, token_file: str = "", remote_secrets: bool = False) -> GatewayConfig:
    """The settings that join the gateway there."""
    return gateway_config(
        "hermes",
        BackendConfig(kind="hermes", mode="join", url=url, token_file=token_file, remote_secrets=remote_secrets),
    )
