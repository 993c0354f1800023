"""The state database: servers, keys, alerts with their history, the outbox."""

from __future__ import annotations

from hostpulse_server.state.engine import open_engine, ping, reading, writing
from hostpulse_server.state.schema import (
    HEAD,
    current_revision,
    is_empty,
    needed_revision,
    require_current,
    upgrade,
)

__all__ = [
    "HEAD",
    "current_revision",
    "is_empty",
    "needed_revision",
    "open_engine",
    "ping",
    "reading",
    "require_current",
    "upgrade",
    "writing",
]
