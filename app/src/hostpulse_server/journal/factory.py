"""Opens the journal of a configuration."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from hostpulse_server.journal.journal import Journal

if TYPE_CHECKING:
    from hostpulse_server.config import ServerConfig
    from hostpulse_server.runtime.clock import Clock


def open_journal(config: ServerConfig, clock: Clock) -> Journal:
    """Open the journal that ``config`` names."""
    return Journal.open(
        config.paths.journal,
        max_bytes=config.journal.max_bytes,
        min_free_bytes=config.journal.min_free_bytes,
        clock=clock,
    )


def room_bytes(config: ServerConfig, used: int) -> int:
    """Return how many bytes a journal of ``used`` bytes may still take, as the api judges it."""
    bounds = config.journal
    free = shutil.disk_usage(config.data_dir).free
    return min(bounds.max_bytes - used, free - bounds.min_free_bytes)
