"""What the views work with, made once per process and passed by the app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from flask import current_app

if TYPE_CHECKING:
    from hostpulse_server.config import ServerConfig
    from hostpulse_server.journal import Journal
    from hostpulse_server.registry import Registry
    from hostpulse_server.runtime.clock import Clock
    from hostpulse_server.shipper.last_seen import LastSeenReader
    from hostpulse_server.store.base import Store

EXTENSION = "hostpulse"


@dataclass(frozen=True)
class Services:
    """The parts behind the views."""

    config: ServerConfig
    registry: Registry
    journal: Journal
    seen: LastSeenReader
    store: Store
    clock: Clock


def services() -> Services:
    """Return the services of the app that handles this request."""
    return cast("Services", current_app.extensions[EXTENSION])
