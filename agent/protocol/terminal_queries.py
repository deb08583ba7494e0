"""Queries of a program to its terminal, and the replies that the terminal types by itself.

Every viewer's terminal answers; the program must hear one of them only. And a replay of old output asks again what
was answered long ago. Source: ECMA-48, "XTerm Control Sequences", the kitty keyboard protocol.
"""

from __future__ import annotations

import re

_REPLY = re.compile(
    rb"\x1b\[\??[0-9]+;[0-9]+(?:;[0-9]+)?R"  # cursor's place
    rb"|\x1b\[0n"
    rb"|\x1b\[[?>=][0-9;]*c"  # what kind of terminal
    rb"|\x1b\[\?[0-9]+u"  # keyboard protocol
    rb"|\x1b\[\??[0-9]+;[0-4]\$y"  # whether a mode is on
    rb"|\x1b\[[468];[0-9]+;[0-9]+t"  # size in pixels and characters
    rb"|\x1b\][0-9]+;[^\x07\x1b]{0,256}(?:\x07|\x1b\\)"  # colours
    rb"|\x1bP[^\x1b]{0,1024}\x1b\\"  # version, settings, capabilities
)
_QUERY = re.compile(
    rb"\x1b\[\??[56]n"
    rb"|\x1b\[[>=]?0?c"
    rb"|\x1b\[\?u"
    rb"|\x1b\[>0?q"
    rb"|\x1b\[\??[0-9]+\$p"
    rb"|\x1b\[1[1-9]t"
    rb"|\x1b\][0-9]+(?:;[0-9]+)?;\?(?:\x07|\x1b\\)"
    rb"|\x1bP(?:\$q|\+q)[^\x1b]{0,256}\x1b\\"
)


def without_replies(typed: bytes) -> bytes:
    """The typed bytes, without replies of the terminal itself."""
    return _REPLY.sub(b"", typed) if b"\x1b" in typed else typed


def without_queries(output: bytes) -> bytes:
    """The output, without queries that would make a terminal reply."""
    return _QUERY.sub(b"", output)
