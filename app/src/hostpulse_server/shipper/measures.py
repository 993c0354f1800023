"""What the server measures about its hosts and itself, once a minute, through the journal."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hostpulse_server.errors import HostpulseError
from hostpulse_server.registry.status import STATUSES
from hostpulse_server.registry.views import server_status
from hostpulse_server.shipper.records import INTERNAL, encode_internal
from hostpulse_server.store.base import StorePoint

if TYPE_CHECKING:
    from hostpulse_server.clock import Clock
    from hostpulse_server.journal import Journal
    from hostpulse_server.registry import Registry
    from hostpulse_server.registry.model import Server
    from hostpulse_server.shipper.books import Books
    from hostpulse_server.shipper.seen import Seen, SeenReader

INTERVAL_SECONDS = 60.0
PIPELINE_SERVER = ""  # the pipeline is no host's
_LABELS = ("env", "group")

log = logging.getLogger(__name__)


class Measures:
    """Appends the measurements ``server`` and ``pipeline``; trouble with that stops nothing."""

    def __init__(
        self, *, journal: Journal, registry: Registry, seen: SeenReader, books: Books, clock: Clock
    ) -> None:
        self._journal = journal
        self._registry = registry
        self._seen = seen
        self._books = books
        self._clock = clock
        self._next = clock.monotonic() + INTERVAL_SECONDS

    def turn(self) -> None:
        """Append one entry if a minute has gone since the last."""
        if self._clock.monotonic() < self._next:
            return
        self._next = self._clock.monotonic() + INTERVAL_SECONDS
        now_ms = self._clock.now_ms()
        try:
            points = [*self._servers(now_ms), self._pipeline(now_ms)]
            self._journal.append(encode_internal(points), INTERNAL, now_ms)
        except HostpulseError as error:
            log.warning("the server's own measurements are missing this minute: %s", error)

    def _servers(self, now_ms: int) -> list[StorePoint]:
        seen = self._seen.get()
        return [
            server_point(server, seen.get(server.id), now_ms) for server in self._registry.servers()
        ]

    def _pipeline(self, now_ms: int) -> StorePoint:
        fields = {"journal_bytes": float(self._journal.stats().bytes)}
        waiting = self._journal.read(self._books.position(self._journal.epoch), 1, 1)
        oldest_ms = waiting[0].received_ms if waiting else now_ms
        fields["store_lag_seconds"] = max(0.0, (now_ms - oldest_ms) / 1000)
        status = self._seen.status()
        if status is not None:
            fields["rollup_dirty_windows"] = float(status.dirty_windows)
            fields["store_write_ms"] = status.store_write_ms
            fields["quarantine_points"] = float(sum(status.set_aside.values()))
        return StorePoint(PIPELINE_SERVER, "pipeline", (), now_ms, fields)


def server_point(server: Server, seen: Seen | None, now_ms: int) -> StorePoint:
    """Return the ``server`` point of one host; tags and fields that are not known are absent."""
    tags = {name: server.labels[name] for name in _LABELS if server.labels.get(name)}
    version = server.agent_version or (seen.agent_version if seen else None)
    if version:
        tags["agent_version"] = version
    fields = {"status": float(STATUSES.index(server_status(server, seen, now_ms)))}
    if seen is not None and seen.completeness_percent is not None:
        fields["completeness_percent"] = seen.completeness_percent
    if server.clock_offset_ms is not None:
        fields["clock_offset_ms"] = float(server.clock_offset_ms)
    return StorePoint(server.id, "server", tuple(sorted(tags.items())), now_ms, fields)
