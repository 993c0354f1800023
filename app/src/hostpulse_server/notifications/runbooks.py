"""The runbooks of the rule pack, which the server shows at ``/runbooks/NAME``."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

PATH: Final = "runbooks"  # below the public address
_PREFIX: Final = "docs/runbooks.md#"  # how rules of the pack name theirs
_PAGES: Final = Path(__file__).parent / "runbook_pages"  # by tools.docs.runbook_pages


@lru_cache(maxsize=1)
def pages() -> dict[str, str]:
    """Return the runbooks by name, as HTML."""
    return {one.stem: one.read_text(encoding="utf-8") for one in sorted(_PAGES.glob("*.html"))}


def address(runbook: str, public_url: str) -> str:
    """Return what to tap for a rule's runbook: the page of the server where it has that one."""
    name = runbook.removeprefix(_PREFIX)
    if not public_url or name == runbook or name not in pages():
        return runbook
    return f"{public_url.rstrip('/')}/{PATH}/{name}"
