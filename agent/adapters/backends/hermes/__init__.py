"""Hermes: every live session of a gateway, through one connection that is held (docs/design/hermes.md)."""

from __future__ import annotations

from agent.adapters.backends.hermes.family import HermesBackend, HermesFamily

__all__ = ["HermesBackend", "HermesFamily"]
