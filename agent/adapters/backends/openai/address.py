"""The endpoint of a server, and how its key is found. The key is read when it is sent, and kept nowhere (T7)."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from agent.errors import BackendFailed
from agent.ports import BackendConfig

KEY_MAX = 4096
"""Bytes of a key."""
FIELDS = {"kind", "url", "model", "key_env", "key_file", "description"}
"""What the settings may say of a server."""


class ServerAddress(Struct, frozen=True, kw_only=True):
    """Where a server is. `url` ends before `/chat/completions`."""

    name: str  # of the backend: what people are told, who need not know its address
    url: str
    key_env: str = ""
    key_file: str = ""

    def key(self, environ: Mapping[str, str]) -> str:
        """The API key; empty if none is configured. Raises: BackendFailed, if it cannot be had."""
        if self.key_env:
            key = environ.get(self.key_env, "").strip()
            if not key:
                raise BackendFailed(
                    f"{self.name}: the variable {self.key_env} that should hold its key is not set for the service",
                    hint="set it where the service is started, or use key_file",
                )
        elif self.key_file:
            key = self._from_file(Path(self.key_file).expanduser())
        else:
            return ""
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise BackendFailed(f"{self.name}: what should be its key is none", hint="a key is one line without spaces")
        return key

    def _from_file(self, file: Path) -> str:
        try:
            with file.open("rb") as opened:
                found = os.fstat(opened.fileno())
                if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
                    hint = "it must be a file of your own that nobody else may read: `chmod 600` it"
                    raise BackendFailed(f"{self.name}: its key_file is not safe", hint=hint)
                return opened.read(KEY_MAX).decode("ascii", "replace").strip()
        except OSError as exc:
            told = f"{self.name}: its key_file cannot be read: {exc.strerror}"
            raise BackendFailed(told, hint="correct key_file, a file of your own with mode 0600") from None


def server_address(name: str, config: BackendConfig) -> ServerAddress:
    """Check the settings of a server. Raises: BackendFailed, if they make no sense, or would give the key away."""
    unset = BackendConfig()
    names = [name for name in config.__struct_fields__ if name not in FIELDS]
    wrong = [name for name in names if getattr(config, name) != getattr(unset, name)]
    if wrong:
        raise BackendFailed(
            f'{wrong[0]} is nothing for kind "openai"', hint="it takes url, model, key_env and key_file"
        )
    if config.key_env and config.key_file:
        raise BackendFailed("key_env and key_file are both set", hint="leave one out")
    parts = parsed(config.url)
    if parts is None:
        raise BackendFailed("url is not an address of a server", hint='like url = "http://127.0.0.1:8000/v1"')
    if parts.username or parts.password or parts.query or parts.fragment:
        raise BackendFailed("url holds more than an address", hint="a key belongs into key_env or key_file")
    if (config.key_env or config.key_file) and parts.scheme == "http" and not is_loopback(parts):
        raise BackendFailed("its key would cross the network in the clear", hint="use https, or no key")
    return ServerAddress(name=name, url=base_of(parts), key_env=config.key_env, key_file=config.key_file)


def parsed(url: str) -> SplitResult | None:
    """The parts of an HTTP address; None if it is none."""
    try:
        parts = urlsplit(url.strip())
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if sound else None


def base_of(parts: SplitResult) -> str:
    """The address before `/chat/completions`; without a path it is `/v1`, as everywhere."""
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path or '/v1'}"


def is_loopback(parts: SplitResult) -> bool:
    """Whether the server is on this machine for sure."""
    host = parts.hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
