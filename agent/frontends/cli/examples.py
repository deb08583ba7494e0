"""Examples of every command, for its help and for what is said of wrong usage. Imported only to show them."""

from __future__ import annotations

from collections.abc import Mapping

EXAMPLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "up": (
        ("agent up", "until Ctrl-C"),
        ("agent up --name den --interface 'eth*'", "under another name, on wired networks only"),
    ),
    "peers": (
        ("agent peers", "who is there"),
        ("agent peers --wait 30", "wait up to 30 s for another device"),
    ),
    "sessions": (
        ("agent sessions", "of all devices"),
        ("agent sessions --on desk --json", "of one device, for a script"),
    ),
    "new": (
        ("agent new --on desk --title build --attach", "on another device, and stay in it"),
        ("agent new --shell zsh --attach", "another shell than yours"),
        ("agent new --backend terminal --attach -- vim notes.md", "a program on a screen of its own"),
    ),
    "backends": (
        ("agent backends", "what --backend takes here"),
        ("agent backends --on desk", "and on another device"),
    ),
    "acp": (
        ("agent acp", "as the command of an agent in an editor's settings: all sessions"),
        ("agent acp build", "that one session"),
    ),
    "hermes": (
        ("agent hermes", "pick a session with Ctrl+X"),
        ("agent hermes build", "begin with that session"),
    ),
    "attach": (
        ("agent attach", "pick one from a list"),
        ("agent attach desk/build", "the session build of the device desk"),
    ),
    "prompt": (
        ("agent prompt build 'run the tests'", "wait for the reply"),
        ("git diff | agent prompt build -", "text from another program"),
    ),
    "answer": (
        ("agent answer build yes", "what it asks now"),
        ("agent answer build q2 3", "the third choice of the question q2"),
    ),
    "set": (
        ("agent set build", "what may be set, and to what it is set"),
        ("agent set build mode read-only", "set the mode"),
    ),
    "withdraw": (
        ("agent withdraw build", "take back the newest prompt that this device sent"),
        ("agent withdraw build --list", "what waits"),
    ),
    "interrupt": (
        ("agent interrupt build", "stop its running turn"),
        ("agent interrupt build --all", "and drop all prompts that wait"),
    ),
    "close": (("agent close build", "end it; `agent log build` still shows it"),),
    "rename": (("agent rename build nightly build", "from build to 'nightly build'"),),
    "share": (
        ("agent share build private", "no other device knows of it"),
        ("agent share build all", "all members may use it again"),
    ),
    "search": (
        ("agent search gasket", "in all sessions of this device"),
        ("agent search --all-devices '\"burst pipe\" base*'", "a phrase and the beginning of a word, everywhere"),
    ),
    "forget": (
        ("agent forget 'old plan'", "a session of this device that is over"),
        ("agent forget --yes build deploy", "several, without being asked"),
    ),
    "log": (
        ("agent log build", "all of it"),
        ("agent log build --follow --json", "for a script, and what comes"),
    ),
    "pair": (
        ("agent pair", "a code to type on the other device"),
        ("agent pair --guest --read --session build --ttl 2h", "let somebody watch one session for two hours"),
    ),
    "join": (
        ("agent join 42-913-577", "the code that `agent pair` shows on the other device"),
        ("agent join 42-913-577 --address 192.168.1.7:41234", "on a network without multicast"),
    ),
    "unpair": (
        ("agent unpair desk", "put it out, for the whole household"),
        ("agent unpair --self", "leave the household with this device"),
    ),
    "devices": (
        ("agent devices", "who is trusted, and as what"),
        ("agent devices --read-only desk", "desk may only watch here from now on"),
    ),
    "audit": (
        ("agent audit --since yesterday", "who did what since then"),
        ("agent audit --follow", "and what comes"),
    ),
    "page": (
        ("agent page", "in this machine's browser"),
        ("agent page --code", "in a browser elsewhere: shows its address and a code to type there"),
    ),
    "status": (
        ("agent status", "how the service is doing"),
        ("agent status --json", "for a script"),
    ),
    "schema": (("agent schema > wire.json", "for clients in other languages"),),
    "demo": (
        ("agent demo", "ends by itself in about 10 s"),
        ("agent demo --page", "and stays, with the page in the browser, until Ctrl-C"),
    ),
}
"""Command -> lines to type, each with what it does. A test parses every one of them."""


def epilog(command: str) -> str:
    """The examples of a command, as click puts them under its help."""
    told = [f"  {line}\n      {about}" for line, about in EXAMPLES.get(command, ())]
    return "\n".join(["\b", "Examples:", *told]) if told else ""
