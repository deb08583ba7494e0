"""adapters.net.reasons: what a person is told of a connection that did not come about."""

from __future__ import annotations

import errno
import os
import socket
import ssl

import pytest

from agent.adapters.net.dial import reason

ERRORS = [OSError(number, os.strerror(number)) for number in errno.errorcode]


@pytest.mark.parametrize(
    "error",
    [
        *ERRORS,
        TimeoutError(),
        ConnectionResetError(),
        OSError("Multiple exceptions: [Errno 111] Connect call failed"),
        ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"),
        socket.gaierror(-2, "Name or service not known"),
        UnicodeError("label too long"),
        ValueError("port must be 0-65535"),
    ],
)
def test_no_code_and_no_name_of_a_class_reaches_a_person(error: Exception) -> None:
    told = reason(error)
    assert told
    assert "Errno" not in told
    assert "[" not in told
    assert type(error).__name__ not in told
