"""From the configuration to a journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_server.journal.journal import Journal

if TYPE_CHECKING:
    from hostpulse_server.clock import Clock
    from hostpulse_server.config import ServerConfig


def open_journal(config: ServerConfig, clock: Clock) -> Journal:
    """Open the journal that ``config`` names."""
    return Journal.open(
        config.paths.journal,
        max_bytes=config.journal.max_bytes,
        min_free_bytes=config.journal.min_free_bytes,
        clock=clock,
    )
