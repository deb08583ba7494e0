"""Why a connection did not come about, in words that a person can use: the system's own are codes and class names."""

from __future__ import annotations

import errno
import os
import socket
import ssl

_REASONS = {
    errno.ECONNREFUSED: "nothing listens there",
    errno.ETIMEDOUT: "no answer in time",
    errno.EHOSTUNREACH: "no device has that address",
    errno.EHOSTDOWN: "no device has that address",
    errno.ENETUNREACH: "no network leads there",
    errno.ENETDOWN: "the network is down",
    errno.EADDRNOTAVAIL: "that network is not there any more",
    errno.ENODEV: "that network is not there any more",
    errno.ENXIO: "that network is not there any more",
    errno.EINVAL: "that is no address of a network here",
    errno.EAFNOSUPPORT: "this machine has no addresses of that kind",
    errno.EACCES: "this machine does not allow it",
    errno.EPERM: "this machine does not allow it",
    errno.ECONNRESET: "the connection broke",
    errno.ECONNABORTED: "the connection broke",
    errno.EPIPE: "the connection broke",
    errno.EMFILE: "this machine has no room for more connections",
    errno.ENFILE: "this machine has no room for more connections",
    errno.ENOBUFS: "this machine has no room for more connections",
    errno.ENOMEM: "this machine has no memory left",
}


def reason(error: BaseException) -> str:
    """One clause, without a code or the name of a class, on why connecting failed."""
    if isinstance(error, TimeoutError):
        return _REASONS[errno.ETIMEDOUT]
    if isinstance(error, socket.gaierror | UnicodeError | ValueError) and not isinstance(error, ssl.SSLError):
        return "that is no address"
    if isinstance(error, ssl.SSLError):
        return "it does not speak as a gateway does"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return _REASONS.get(error.errno) or os.strerror(error.errno).lower()
    return "the connection broke"
