"""Queries of a program to its terminal, the replies that the terminal types by itself, and what a person types.

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

_ENTER = re.compile(
    rb"[\r\n\x0f]"  # Enter, Ctrl-J; Ctrl-O, with which line editors run the line, too
    rb"|\x1bOM"  # the keypad's
    rb"|\x1b\[13(?:;[\d:]*)?(?:;[\d:]*)?u"  # in kitty's keyboard protocol
    rb"|\x1b\[27;\d+;13~"  # with xterm's modifyOtherKeys
)
_PASTED = re.compile(rb"\x1b\[200~.*?(?:\x1b\[201~|\Z)|\A(?:(?!\x1b\[200~).)*?\x1b\[201~", re.DOTALL)


def has_enter(typed: bytes) -> bool:
    """Whether a person who typed these bytes has pressed Enter; one that is pasted between brackets is just text."""
    return bool(_ENTER.search(_PASTED.sub(b"", typed) if b"\x1b[20" in typed else typed))


def without_replies(typed: bytes) -> bytes:
    """The typed bytes, without replies of the terminal itself."""
    return _REPLY.sub(b"", typed) if b"\x1b" in typed else typed


def without_queries(output: bytes) -> bytes:
    """The output, without queries that would make a terminal reply."""
    return _QUERY.sub(b"", output)
