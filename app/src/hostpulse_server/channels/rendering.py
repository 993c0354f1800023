"""Under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Templates:
    """Templates."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
