"""Markdown as a tree, by the tokens of markdown-it-py: nothing here ever writes HTML, and HTML in a text is text.

CommonMark with GitHub's tables, strikethrough, bare addresses and boxes of tasks. Source: docs/design/page.md.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from agent.ports.rendering import Tree
from agent.protocol.characters import hidden_in_text
from agent.protocol.control_sequences import without_sequences

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

NESTING_MAX = 20
"""Levels of blocks in blocks. The library leaves out what is deeper, and is as slow as this number on brackets."""
ADDRESS_MAX = 2_048
"""Characters of an address; a longer one is shown and leads nowhere."""
GROWTH, SPARE = 7, 2_048
"""Bytes of JSON for each character, and beside them, that a tree may take: empty cells of a table take far more."""
Child = str | list[object]
_log = logging.getLogger(__name__)
_LEADS = re.compile(r"(?:https?://|mailto:)\S", re.IGNORECASE)
_WIDE = r"\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
"""Punctuation of Chinese and Japanese, which ends an address without a space."""
_BARE = re.compile(rf"(?<![A-Za-z0-9_])https?://[\w\[][^\s<>\"'`{_WIDE}]*", re.IGNORECASE)
_TASK = re.compile(r"\[([ xX])\][ \n]")
_ALIGN = re.compile(r"text-align:(left|center|right)")
_PAIRS = {")": "(", "]": "["}


class MarkdownTrees:
    """Makes trees of texts (`ports.rendering.Markdown`)."""

    def __init__(self) -> None:
        """Nothing is imported yet."""
        self._parser: MarkdownIt | None = None

    def tree(self, text: str) -> Tree:
        """The tree of a text; one element with the text as it is, if its own would be too deep or too large."""
        text = hidden_in_text.sub("", without_sequences(text))  # T10, as on a terminal
        try:
            tokens = self._parse(text)
        except Exception as exc:  # noqa: BLE001 - a fault of the library costs the marks of one text, and is told
            _log.warning("a text could not be read as Markdown", extra={"error": repr(exc)})
            return _as_it_is(text)
        if any(token.level >= NESTING_MAX - 1 for token in tokens):
            return _as_it_is(text)
        tree = _tree(tokens)
        return tree if len(msgspec.json.encode(tree)) <= GROWTH * len(text) + SPARE else _as_it_is(text)

    def _parse(self, text: str) -> list[Token]:
        if self._parser is None:
            from markdown_it import MarkdownIt  # noqa: PLC0415 - 1 MB and 0.1 s that most services never need

            parser = MarkdownIt("commonmark", {"html": False, "maxNesting": NESTING_MAX})
            self._parser = parser.enable(["table", "strikethrough"])
        return self._parser.parse(text)


def _as_it_is(text: str) -> Tree:
    return [["pre", {}, [["code", {}, [text]]]]]


def _tree(tokens: Sequence[Token]) -> Tree:
    tree: Tree = []
    stack = [tree]
    links = 0  # no address in a link is one itself
    for token in tokens:
        links += token.nesting if token.tag == "a" else 0
        if token.hidden:
            continue  # a paragraph in a list whose items are close together
        if token.nesting == 1:
            children: Tree = []
            stack[-1].append([token.tag, _attributes(token), children])
            stack.append(children)
        elif token.nesting == -1:
            stack.pop()
        elif token.type == "inline":
            stack[-1].extend(_with_box(_tree(token.children or ()), stack))
        else:
            leaf = _leaf(token)
            for child in _linked(leaf) if isinstance(leaf, str) and not links else (leaf,):
                _put(stack[-1], child)
    return tree


def _put(tree: Tree, child: Child) -> None:
    if isinstance(child, str) and tree and isinstance(tree[-1], str):
        tree[-1] += child
    elif child:
        tree.append(child)


def _with_box(children: Tree, stack: list[Tree]) -> Tree:
    """Take the box of a task out of the text that an item of a list begins with, and note it at the item."""
    above = [each[-1] for each in stack[:-1]]
    if above and above[-1][0] == "p":
        above.pop()
    box = _TASK.match(children[0]) if children and isinstance(children[0], str) else None
    if box and above and above[-1][0] == "li" and above[-1][2] in (stack[-1], [["p", {}, stack[-1]]]):
        above[-1][1]["task"] = "open" if box[1] == " " else "done"
        children[0] = children[0][box.end() :]
    return children


def _leaf(token: Token) -> Child:
    if token.type in {"fence", "code_block"}:
        language = token.info.split(maxsplit=1)[:1]
        return [
            "pre",
            {"lang": language[0][:32]} if language else {},
            [["code", {}, [token.content.removesuffix("\n")]]],
        ]
    if token.type == "image":  # as a link: to show one would tell its server that it was read
        address = str(token.attrs.get("src", ""))
        return ["a", _address(address), [token.content or address]]
    if token.type == "softbreak":
        return "\n"
    if token.type in {"hardbreak", "hr"}:
        return [token.tag, {}, []]
    return [token.tag, {}, [token.content]] if token.tag else token.content


def _attributes(token: Token) -> dict[str, object]:
    if token.tag == "a":
        return _address(str(token.attrs.get("href", "")))
    if token.tag == "ol" and "start" in token.attrs:
        return {"start": int(token.attrs["start"])}
    if token.tag in {"th", "td"} and (align := _ALIGN.search(str(token.attrs.get("style", "")))):
        return {"align": align[1]}
    return {}


def _address(address: str) -> dict[str, object]:
    # A path of the session's device leads nowhere from here: it is shown, for people to read.
    if len(address) > ADDRESS_MAX:
        return {}
    return {"href": address} if _LEADS.match(address) else {"to": address}


def _linked(text: str) -> Iterator[Child]:
    """A text with its bare addresses as links."""
    at = 0
    for found in _BARE.finditer(text):
        if len(found[0]) <= ADDRESS_MAX:
            address = _without_end(found[0])
            yield text[at : found.start()]
            yield ["a", _address(address), [address]]
            at = found.start() + len(address)
    yield text[at:]


def _without_end(address: str) -> str:
    # What ends the sentence, and brackets around the address, are no part of it (GitHub's rule).
    while address[-1] in "?!.,:;*_~'" or address.count(address[-1]) > address.count(
        _PAIRS.get(address[-1], address[-1])
    ):
        address = address[:-1]
    return address
