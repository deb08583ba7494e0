"""Every command and option that the README and docs/commands.md show, in an order in which they can be run.

`test_shown.py` runs them; `tests/test_docs.py` holds this table to the documents: what is shown and not run fails.
"""

from __future__ import annotations

from typing import NamedTuple


class Shown(NamedTuple):
    """One command line, after `agent`, as a person types it in a shell.

    Words in braces stand for what an earlier one gave: `{code}`, `{session}`, `{address}`.
    """

    device: str
    line: str
    says: str = ""  # a part of what it prints on either stream
    status: int | None = 0  # None: whatever that machine makes of it
    typed: str | None = None  # on its standard input
    gives: str = ""  # the word in braces that the first line of its output is from now on
    stays: bool = False  # it goes on until it is interrupted, after it has said that
    waits: str = ""  # the state of the session Build to wait for, before


DESK, LAPTOP, PI = "desk", "laptop", "pi"
ASK = "read -p 'sure? ' x; echo got $x"

ALONE = (
    Shown(DESK, "peers", "no other device yet"),
    Shown(DESK, "sessions", "no sessions yet"),
    Shown(DESK, "status", "7471"),
    Shown(DESK, "status --json", '"problems"'),
    Shown(DESK, "schema", "prompt.submit"),
    Shown(DESK, "devices", "no other device yet"),
    Shown(DESK, "backends", "shell"),
)
"""On a device that knows no other one."""

PAIRING = (
    Shown(DESK, "pair", gives="code", stays=True),
    Shown(LAPTOP, "join {code}", "paired with desk"),
    Shown(LAPTOP, "peers", "desk"),
    Shown(LAPTOP, "peers --json", '"name": "desk"'),
    Shown(LAPTOP, "peers --wait 5", "desk"),
    Shown(LAPTOP, "peers --watch", "desk", stays=True),
    Shown(LAPTOP, "devices", "member"),
    Shown(LAPTOP, "devices --json", '"role"'),
)

SESSIONS = (
    Shown(DESK, "new --title 'Count to three'", gives="session"),
    Shown(LAPTOP, "sessions", "Count to three"),
    Shown(LAPTOP, "sessions --json", "Count to three"),
    Shown(LAPTOP, "sessions --on desk", "Count to three"),
    Shown(LAPTOP, "sessions --watch", "Count to three", stays=True),
    Shown(
        LAPTOP,
        """prompt 'Count to three' 'for i in 1 2 3; do echo "$i, from process $$"; sleep 0.4; done'""",
        "3, from process",
    ),
    Shown(DESK, "log 'Count to three'", "[laptop] for i in"),
    Shown(LAPTOP, "new --on desk --title Build", gives="build"),
    Shown(
        LAPTOP,
        "new --on desk --wait 2min --cwd /tmp --backend shell -- echo 'first prompt'",
        gives="other",
    ),
    Shown(LAPTOP, "attach Build", "typed", typed="echo typed\n"),
    Shown(LAPTOP, "new --on desk --title Stay --shell bash --attach", "stayed", typed="echo stayed\n"),
    Shown(LAPTOP, "attach Build --tail 2", "typed", typed=""),
    Shown(LAPTOP, "attach Build --all", "typed", typed=""),
    Shown(LAPTOP, "prompt Build true"),
    Shown(LAPTOP, "prompt Build make", "make", status=None),
    Shown(LAPTOP, f'prompt Build "{ASK}" --no-wait'.replace("$", "\\$"), gives="prompt"),
    Shown(LAPTOP, "answer Build yes", waits="needs-input"),
    Shown(LAPTOP, "prompt Build - --json", "piped", typed="echo piped\n"),
    Shown(LAPTOP, "prompt Build 'echo once' --id once-only", "once"),
    Shown(LAPTOP, "prompt Build 'echo once' --id once-only --wait 5", "once"),
    Shown(LAPTOP, "prompt Build 'sleep 60' --timeout 1", status=7),
    Shown(LAPTOP, "prompt --steer Build 'echo instead'", "instead", waits="working"),
    Shown(LAPTOP, "prompt Build 'sleep 60' --no-wait", gives="prompt"),
    Shown(LAPTOP, "interrupt Build", waits="working"),
    Shown(LAPTOP, "prompt Build 'sleep 60' --no-wait", gives="prompt"),
    Shown(LAPTOP, "prompt Build 'echo never' --no-wait", gives="waiting", waits="working"),
    Shown(LAPTOP, "withdraw Build --list", "echo never"),
    Shown(LAPTOP, "withdraw Build {waiting}", "echo never"),
    Shown(LAPTOP, "prompt Build 'echo never' --no-wait"),
    Shown(LAPTOP, "withdraw Build --json", '"withdrawn"'),
    Shown(LAPTOP, "prompt Build 'echo never' --timeout 1 --withdraw", "taken back", status=7),
    Shown(LAPTOP, "prompt Build 'echo never' --no-wait"),
    Shown(LAPTOP, "interrupt Build --all", "1"),
    Shown(LAPTOP, "log Build --json", '"message.user"', waits="idle"),
    Shown(LAPTOP, "log Build --since 3", "typed"),
    Shown(LAPTOP, "log Build --follow", "typed", stays=True),
    Shown(LAPTOP, "rename Build Built again"),
    Shown(LAPTOP, "rename 'Built again' Build"),
    Shown(DESK, "share Build read-only"),
    Shown(LAPTOP, "prompt Build true", "watched", status=5),
    Shown(DESK, "share Build private"),
    Shown(LAPTOP, "log {build}", "no session", status=4),
    Shown(DESK, "share Build all"),
    Shown(DESK, "new --private --title Mine", gives="mine"),
    Shown(LAPTOP, "sessions --all", "Build"),
    Shown(LAPTOP, "backends --on desk", "shell"),
    Shown(LAPTOP, "backends shell", "bash"),
    Shown(LAPTOP, "backends --json", '"default"'),
    Shown(LAPTOP, "set Build", "nothing of this session may be set"),
    Shown(LAPTOP, "close Build --wait 5"),
    Shown(LAPTOP, "close {other}"),
    Shown(DESK, "new --again {other}", gives="again"),
    Shown(DESK, "close {again}"),
    Shown(LAPTOP, "search nosuchword", "nothing found"),
    Shown(LAPTOP, "search --all-devices 'first prompt' --limit 3", "first prompt"),
    Shown(LAPTOP, "search --on desk --json 'fir*'", '"excerpt"'),
    Shown(LAPTOP, "sessions --all", "closed"),
    Shown(LAPTOP, "log desk/Build --export md", "# Build"),
    Shown(LAPTOP, "log {build} --export json --output build.json", "written to build.json"),
    Shown(LAPTOP, "forget --yes {build}", "only desk itself", status=5),
    Shown(DESK, "forget 'Count to three' --yes", "close it first", status=1),
    Shown(DESK, "forget build {other} --yes", "deleted: Build"),
)

TRUST = (
    Shown(DESK, "audit", "prompted"),
    Shown(DESK, "audit --json --limit 3", '"action"'),
    Shown(DESK, "audit --since 1h", "laptop"),
    Shown(DESK, "audit --follow", "laptop", stays=True),
    Shown(DESK, "devices --read-only laptop"),
    Shown(DESK, "devices --full laptop"),
    Shown(DESK, "pair --guest --read --session 'Count to three' --ttl 1h", gives="code", stays=True),
    Shown(PI, "join {code}", "may watch the session"),
    Shown(DESK, "unpair pi"),
    Shown(DESK, "pair --long", gives="code", stays=True),
    Shown(PI, "join --device desk {code}", "paired with desk"),
    Shown(PI, "unpair --self"),
    Shown(DESK, "unpair laptop --with-admitted"),
)

OF_AN_AGENT = (
    Shown(LAPTOP, "backends --on desk", "{backend}"),
    Shown(
        LAPTOP,
        "new --on desk --backend {backend} --cwd {work} --title Build --attach",
        "one",
        typed="model: text one\n",
    ),
    Shown(LAPTOP, "prompt Build 'model: text one more'", "one more"),
    Shown(LAPTOP, "set Build", "mode"),
    Shown(LAPTOP, "set Build mode"),
    Shown(LAPTOP, "set Build mode {mode}"),
    Shown(LAPTOP, "set Build --json", '"choices"'),
    Shown(LAPTOP, "prompt Build --no-wait '{asking}'", gives="prompt"),
    Shown(LAPTOP, "answer Build yes", waits="needs-input"),
    Shown(LAPTOP, "log Build", "one more", waits="idle"),
    Shown(LAPTOP, "attach Build", "again", typed="model: text again\n"),
    Shown(LAPTOP, "prompt Build --no-wait 'model: wait for ever'", gives="prompt"),
    Shown(LAPTOP, "prompt --steer Build 'Stop that; only read'", waits="working"),
    Shown(LAPTOP, "prompt Build --no-wait 'model: wait for ever'", gives="prompt"),
    Shown(LAPTOP, "interrupt Build", waits="working"),
    Shown(LAPTOP, "sessions", "{backend}"),
    Shown(LAPTOP, "close Build"),
)
"""The same, where the session is an agent: each dialect has all of them."""

ELSEWHERE = {
    "up": "every test of a device: `Device.up`",
    "up --name": "`Device.up`",
    "up --interface": "`tests/e2e/test_discovery.py`",
    "up --port": "`tests/e2e/test_starting.py`",
    "demo": "`tests/e2e/test_demo.py`",
    "demo --page": "as above",
    "join --address": "`tests/e2e/test_discovery.py`: `pair(address=True)`",
    "attach --raw": "`tests/e2e/test_terminals.py`",
    "attach --detach-key": "`tests/frontends/cli/test_raw.py`",
    "acp": "`tests/e2e/test_acp.py`, with an SDK of others",
    "acp --on": "as above",
    "acp --backend": "as above",
    "hermes": "`tests/e2e/test_hermes_tui.py`, the real UI",
    "hermes --on": "as above",
    "hermes --backend": "as above",
    "hermes --hermes": "as above",
    "page": "`tests/frontends/cli/test_page.py`, and `tests/gateway/test_page.py` for what it opens",
    "page --code": "as above",
    "page --logout": "as above",
    "page --print": "as above",
    "--wait": "`tests/e2e/test_patience.py`: with the device out of reach, for each command",
}
"""What is run by a test of its own, and which."""

ALL = (*ALONE, *PAIRING, *SESSIONS, *TRUST, *OF_AN_AGENT)
