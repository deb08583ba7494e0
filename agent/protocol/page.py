"""What is said about the page in the browser: how it is opened, and how its logins end."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from agent.protocol.bounds import Amount, Count, Line, Rows, Word

RENDER_MAX = 131_072
"""Characters that a page may have made into trees at once: those of the longest reply."""
KEPT_MAX = 65_536
"""Bytes of all that pages keep, names and values."""


class OpenPage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`page.open`: let a browser in, once, within a minute."""

    code: bool = False  # by a code that a person types into the page, for a browser that cannot read files of here


class PageOpened(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of `page.open`: where the page is, and what lets a browser in."""

    url: Line
    ttl: Amount  # seconds
    file: Line = ""  # path of a file, for the own user only, that logs in whoever opens it in a browser
    code: Word = ""  # or the code to type
    also: Rows[Line] = ()  # its addresses behind proxies (`page.allowed_hosts`)


class LoggedOut(Struct, frozen=True, kw_only=True):
    """Result of `page.logout`: how many browsers were logged in."""

    logins: Count  # how many have ended


class Render(Struct, frozen=True, kw_only=True):
    """`page.render`: make trees of texts in Markdown."""

    texts: Annotated[tuple[Annotated[str, Meta(max_length=RENDER_MAX)], ...], Meta(max_length=32)]


class Rendered(Struct, frozen=True, kw_only=True):
    """Result of `page.render`: for each text its tree, as docs/design/page.md has it."""

    trees: Rows[Raw]


class Keep(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`page.keep`: keep a value for the pages of this device under a name; without a name ask for all of them."""

    name: Word = ""
    value: Raw | UnsetType = UNSET  # any JSON; null: nothing is kept under that name any more


class Kept(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of `page.keep`: what is kept, if all of it was asked for."""

    values: Annotated[dict[Word, Raw], Meta(max_length=KEPT_MAX)] = {}


# --- the door's greeting, before JSON-RPC begins: page, service, page, service ---------------------------------------


class PageAsks(Struct, frozen=True, kw_only=True):
    """The first frame of a page."""

    nonce: Word


class ServiceProves(Struct, frozen=True, kw_only=True):
    """The answer: signed with the key that the page pinned when it logged in. Base64, r and s."""

    nonce: Word
    signature: Word


class PageProves(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the page says once it believes the service."""

    signature: Word
    resume: Word = ""  # known to documents that were alive before a restart of the service


class PageWelcomed(Struct, frozen=True, kw_only=True):
    """The last frame of the greeting; `gateway.ready` follows."""

    resume: Word


class TypedCode(Struct, frozen=True, kw_only=True):
    """Body of `POST /code`."""

    code: Word


class PageKey(Struct, frozen=True, kw_only=True):
    """Body of `POST /enrol`: the key of a page that has just logged in."""

    token: Word
    key: Line  # base64 of its DER


class ServiceKey(Struct, frozen=True, kw_only=True):
    """Answer to `POST /enrol`."""

    key: Line  # base64 of its DER, to be pinned
    resume: Word


class MayEnrol(Struct, frozen=True, kw_only=True):
    """Answer to `POST /code`: what lets the page name its key, once."""

    token: Word
