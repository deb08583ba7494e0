"""lan-agent: list, watch, prompt and start agent sessions on every machine of the home network."""

__version__ = "0.1.0"
