"""Port to what makes a tree of a text with marks in it, for the page in the browser."""

from __future__ import annotations

from typing import Any, Protocol

Tree = list[Any]
"""Texts, and elements as `[tag, attributes, children]`, the children being a tree again (docs/design/page.md)."""


class Markdown(Protocol):
    """Reads Markdown. What it gives has every word of the text, no HTML, and addresses of http and mailto only."""

    def tree(self, text: str) -> Tree:
        """The tree of a text: 0.1 s the first time, later 2 ms for each 1,000 characters. May be called in a thread."""
