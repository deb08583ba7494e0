"""The settings of a gateway, checked (`[backends.NAME]` with `kind = "hermes"`)."""

from __future__ import annotations

import os
import stat
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from agent.errors import BackendFailed
from agent.ports import BackendConfig

TOKEN_MAX = 4096
"""Bytes of a token."""
TOKEN = "HERMES_DASHBOARD_SESSION_TOKEN"  # noqa: S105 - the name of a variable
"""The variable by which whoever launches a gateway chooses its token."""


class GatewayConfig(Struct, frozen=True, kw_only=True):
    """How a gateway is to be started, or joined."""

    name: str  # of the backend
    join: bool = False
    program: tuple[str, ...] = ("hermes",)
    env: dict[str, str] = {}
    cwd: str = ""
    base: str = ""  # http://127.0.0.1:PORT of the one to join; empty: whichever is found
    token_file: str = ""
    remote_secrets: bool = False

    def token(self) -> str:
        """The token that `token_file` holds; empty without one. Raises: BackendFailed."""
        if not self.token_file:
            return ""
        try:
            with Path(self.token_file).expanduser().open("rb") as opened:
                found = os.fstat(opened.fileno())
                if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
                    hint = "it must be a file of your own that nobody else may read: `chmod 600` it"
                    raise BackendFailed(f"{self.name}: its token_file is not safe", hint=hint)
                token = opened.read(TOKEN_MAX).decode("ascii", "replace").strip()
        except OSError as exc:
            told = f"{self.name}: its token_file cannot be read: {exc.strerror}"
            raise BackendFailed(told, hint="correct token_file, a file of your own with mode 0600") from None
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise BackendFailed(f"{self.name}: its token_file holds no token", hint="a token is one line")
        return token


def gateway_config(name: str, config: BackendConfig) -> GatewayConfig:
    """Check the settings of a gateway. Raises: BackendFailed, if they make no sense or would give a token away."""
    wrong = [field for field in ("model", "key_env", "key_file") if getattr(config, field)]
    if wrong:
        raise BackendFailed(
            f'{wrong[0]} is nothing for kind "hermes"',
            hint="it takes mode, url, token_file, argv, env and remote_secrets",
        )
    if config.mode not in {"", "own", "join"}:
        hint = "own starts a gateway of our own, join uses one that runs already"
        raise BackendFailed(f"mode {config.mode!r} is neither own nor join", hint=hint)
    join = config.mode == "join"
    if not join and (config.url or config.token_file):
        raise BackendFailed("url and token_file are for a gateway to join", hint='set mode = "join", or leave them out')
    if join and (config.argv or config.env):
        raise BackendFailed("argv and env are for a gateway of our own", hint='set mode = "own", or leave them out')
    if TOKEN in config.env:
        raise BackendFailed("a token does not belong into env", hint="our own gateway is given one by itself")
    return GatewayConfig(
        name=name,
        join=join,
        program=config.argv or ("hermes",),
        env=config.env,
        cwd=config.cwd,
        base=_base(config.url) if config.url else "",
        token_file=config.token_file,
        remote_secrets=config.remote_secrets,
    )


def _base(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        raise BackendFailed("url is not an address", hint='like url = "http://127.0.0.1:9119"') from None
    if parts.query or parts.username or parts.password or parts.fragment:
        raise BackendFailed("url holds more than an address", hint="a token belongs into token_file")
    if parts.scheme not in {"http", "ws"} or not loopback:
        told = "a Hermes gateway is joined on this machine only"
        raise BackendFailed(told, hint="run lan-agent on the machine of that gateway, too")
    return f"http://{f'[{host}]' if ':' in host else host}:{port or 9119}"
