"""What a machine can say of looks: that everything fits, and what axe finds. The rest is for eyes: `screenshots/`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from playwright.sync_api import Page

FITS = Path(__file__).with_name("fits.js").read_text()
AXE = """async () => {
    const { violations } = await axe.run({ resultTypes: ["violations"] });
    // What is said in a transcript has headings of the ranks that it likes.
    const said = (node) => document.querySelector(node.target[0]).closest("article");
    return violations.flatMap((rule) => rule.nodes.filter((node) => rule.id !== "heading-order" || !said(node))
        .map((node) => `${rule.id}: ${node.html.slice(0, 160)} ${node.failureSummary.replaceAll("\\n", " ")}`));
}"""
SHOTS = Path(__file__).parents[2] / "screenshots"
"""Git ignores it."""


def misfits(page: Page) -> list[str]:
    """What does not fit in the window: text that is cut, what lies outside, controls that are covered or too small."""
    wrong: list[str] = page.evaluate(FITS)
    return wrong


def barriers(page: Page) -> list[str]:
    """What axe finds: a rule and an element a line."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found: list[str] = page.evaluate(AXE)
    return found


def shoot(page: Page, name: str) -> None:
    """Take a picture of the window."""
    page.screenshot(path=SHOTS / f"{name}.png", animations="disabled")
