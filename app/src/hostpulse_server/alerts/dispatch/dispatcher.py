"""Lets the planner decide from rows and writes what it decides, within the engine's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from hostpulse_server.alerts.links import Links
    from hostpulse_server.clock import Clock
    from hostpulse_server.config import ServerConfig
    from hostpulse_server.registry import Server


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn came to: when something is due next, and whether there are new messages."""

    next_ms: int | None
    has_queued: bool


class Dispatcher:
    """Decides who is told."""

    def __init__(
        self,
        config: ServerConfig,
        clock: Clock,
        links: Links,
        servers: Callable[[str], Server | None],
    ) -> None:
        self._config, self._clock, self._links, self._servers = config, clock, links, servers

    def turn(self, session: Session, now_ms: int) -> Turn:
        """Queue what is due."""
        raise NotImplementedError

    def notice(self, session: Session, text: str, now_ms: int, but: str = "") -> None:
        """Queue a text about hostpulse itself for every channel except ``but``."""
        raise NotImplementedError
