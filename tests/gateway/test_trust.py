"""gateway.trust: what it refuses before anything is asked of pairing or the household."""

from __future__ import annotations

from typing import Any, cast

import pytest

from agent.errors import BadParams
from agent.gateway.trust import TrustHandlers
from agent.presence.rules.registry import Registry
from agent.protocol.messages import Unpair
from tests.fakes.trust import identity

NOBODY = cast("Any", None)


async def test_a_device_that_is_to_put_itself_out_says_that_it_is_this_device() -> None:
    own = identity(1)
    handlers = TrustHandlers(
        own=own,
        registry=Registry(own.id, name="den", version="1"),
        pairing=NOBODY,
        household=NOBODY,
        gossip=NOBODY,
        hosts=tuple,
        now=lambda: 0.0,
    )
    for selector in ("den", own.id):
        with pytest.raises(BadParams, match="den is this device") as refused:
            await handlers.unpair(Unpair(device=selector), NOBODY)
        assert "--self" in refused.value.hint
