"""Generates the runbooks that the server shows: ``python -m tools.docs.runbook_pages``.

Each section of docs/runbooks.md becomes a piece of HTML in the server's package, so that a server
reads no Markdown. An argument names another folder to write into.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "docs/runbooks.md"
WRITTEN = ROOT / "app/src/hostpulse_server/notifications/runbook_pages"
_HEADING = re.compile(r"^## ([a-z][a-z0-9_]*)\n", re.MULTILINE)
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def render(document: str) -> dict[str, str]:
    """Return the pages by name."""
    _, *parts = _HEADING.split(document)
    return {name: _page(text) for name, text in zip(parts[::2], parts[1::2], strict=True)}


def _page(text: str) -> str:
    tokens = _MARKDOWN.parse(text.strip())
    for token in tokens:
        if token.children:
            token.children = _with_links(token.children)
    html: str = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    return html


def _with_links(tokens: Sequence[Token]) -> list[Token]:
    """Keep links that lead somewhere from a page: to other runbooks and out; of others the text."""
    kept: list[Token] = []
    is_kept = True
    for token in tokens:
        if token.type == "link_open":
            to = str(token.attrs["href"])
            is_kept = to.startswith(("#", "https://"))
            token.attrs["href"] = to.removeprefix("#")
        if is_kept or token.type not in ("link_open", "link_close"):
            kept.append(token)
    return kept


def main(folder: Path = WRITTEN) -> None:
    """Write the pages, and remove those of sections that are gone."""
    pages = render(SOURCE.read_text(encoding="utf-8"))
    for old in folder.glob("*.html"):
        if old.stem not in pages:
            old.unlink()
    for name, page in pages.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
