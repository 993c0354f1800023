"""The threads that drain the outbox: one a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine as Database

    from hostpulse_server.channels.base import Channel
    from hostpulse_server.clock import Clock
    from hostpulse_server.config import ServerConfig


class Notifiers:
    """Sends what waits."""

    def __init__(
        self,
        config: ServerConfig,
        database: Database,
        channels: Mapping[str, Channel],
        clock: Clock,
    ) -> None:
        self._config, self._database, self._channels = config, database, channels
        self._clock = clock

    def start(self) -> None:
        """Start the threads."""
        raise NotImplementedError

    def wake(self) -> None:
        """Say that there are new messages."""
        raise NotImplementedError

    def stop(self) -> None:
        """Let a send under way end, then return."""
        raise NotImplementedError
