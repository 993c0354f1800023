"""What the server measures about its hosts and itself, once a minute, through the journal."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hostpulse_server.engine.status import EngineStatusReader
from hostpulse_server.errors import (
    BackupStatusError,
    CertificateError,
    HostpulseError,
    StateUnavailableError,
)
from hostpulse_server.journal import room_bytes
from hostpulse_server.journal.records import INTERNAL, encode_internal
from hostpulse_server.operator.server_views import server_status
from hostpulse_server.runtime import shared_counters
from hostpulse_server.runtime.expiry import ExpiryGuard
from hostpulse_server.self_metrics import backups, certificates
from hostpulse_server.self_metrics.pipeline import Rates, Room
from hostpulse_server.values.points import StorePoint
from hostpulse_server.values.server_metrics import INTERVAL_SECONDS, KEEPS_UP_SECONDS
from hostpulse_server.values.server_status import STATUSES
from hostpulse_server.wire.points import check_tag_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_server.config import ServerConfig
    from hostpulse_server.journal import Journal
    from hostpulse_server.registry import Registry
    from hostpulse_server.registry.model import Server
    from hostpulse_server.runtime.clock import Clock
    from hostpulse_server.shipper.last_seen import LastSeen, LastSeenReader
    from hostpulse_server.shipper.state import ShipperState

NO_SERVER = ""  # of what belongs to no host
_LABELS = ("env", "group")
_DAY_SECONDS = 86_400
_RECENT_FROM_MS = 20 * 60_000
_RECENT_UNTIL_MS = 5 * 60_000  # what is younger may be on its way
_COUNTED = {
    shared_counters.REQUESTS: "requests_per_second",
    shared_counters.SAMPLES: "samples_per_second",
    shared_counters.REJECTED: "rejected_points_per_second",
}

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


class SelfMetrics:
    """Appends the server's own measurements; what cannot be measured costs only itself."""

    def __init__(  # noqa: PLR0913 - what it measures, each replaceable in a test
        self,
        config: ServerConfig,
        *,
        journal: Journal,
        registry: Registry,
        seen: LastSeenReader,
        shipper_state: ShipperState,
        clock: Clock,
        expiry: ExpiryGuard | None = None,
    ) -> None:
        self._config = config
        self._journal = journal
        self._registry = registry
        self._seen = seen
        self._state = shipper_state
        self._clock = clock
        self._expiry = expiry or ExpiryGuard(clock)
        self._next = clock.monotonic() + INTERVAL_SECONDS
        self._alerts = EngineStatusReader(registry.database)
        self._rates = Rates()
        self._room = Room()
        self._certificates = certificates.names(config.site.certificates)
        self._troubles: dict[str, str] = {}

    def turn(self) -> None:
        """Append one entry if a minute has gone since the last."""
        if self._clock.monotonic() < self._next:
            return
        self._next = self._clock.monotonic() + INTERVAL_SECONDS
        now_ms = self._clock.now_ms()
        points: list[StorePoint] = []
        parts: dict[str, Callable[[int], list[StorePoint]]] = {
            "server": self._servers,
            "pipeline": self._pipeline,
            "backup": self._backups,
            "certificate": self._ends,
        }
        for name, measure in parts.items():
            try:
                points += measure(now_ms)
            except (HostpulseError, OSError) as error:
                log.warning("the measurement %s is missing this minute: %s", name, error)
        try:
            if points:
                self._journal.append(encode_internal(points), INTERNAL, now_ms)
        except HostpulseError as error:
            log.warning("the server's own measurements are missing this minute: %s", error)

    def _servers(self, now_ms: int) -> list[StorePoint]:
        seen = self._seen.get()
        firing = self._alerts.firing_by_server()
        servers = self._registry.servers()
        # a removed server may be added again, and is known as before while its samples are there
        registered = {server.id for server in servers}
        removed = {
            one.server_id: one.last_received_ms
            for one in seen.values()
            if one.server_id not in registered
        }
        before_ms = self._expiry.cutoff(
            "seen",
            int(self._config.retention.raw * 1000),
            lambda: min(removed.values(), default=None),
        )
        if before_ms is not None:
            self._state.forget(name for name, at_ms in removed.items() if at_ms < before_ms)
        recent = self._recent(now_ms)
        return [
            server_point(
                server,
                seen.get(server.id),
                now_ms,
                firing.get(server.id, 0),
                recent.get(server.id),
            )
            for server in servers
        ]

    def _recent(self, now_ms: int) -> dict[str, float]:
        """Return the completeness of a quarter of an hour, nothing while the store is behind."""
        position = self._state.position(self._journal.epoch)
        if self._journal.waiting_seconds(position) >= KEEPS_UP_SECONDS:
            return {}
        return self._seen.completeness(now_ms - _RECENT_FROM_MS, now_ms - _RECENT_UNTIL_MS)

    def _pipeline(self, now_ms: int) -> list[StorePoint]:
        stats = self._journal.stats()
        lag = self._journal.waiting_seconds(self._state.position(self._journal.epoch))
        fields = {"journal_bytes": float(stats.bytes), "store_lag_seconds": lag}
        room = room_bytes(self._config, stats.bytes)
        hours = self._room.hours_left(self._clock.monotonic(), stats.bytes, room, lag)
        if hours is not None:
            fields["journal_hours_left"] = hours
        fields.update(self._rates.per_second(self._clock.monotonic(), self._counted()))
        status = self._seen.status()
        if status is not None:
            fields["rollup_dirty_windows"] = float(status.dirty_windows)
            fields["quarantine_points"] = float(status.quarantine_points)
            if not status.store_error:
                fields["store_write_ms"] = status.store_write_ms
        fields.update(self._alerting(now_ms))
        return [StorePoint(NO_SERVER, "pipeline", (), now_ms, fields)]

    def _alerting(self, now_ms: int) -> dict[str, float]:
        """Return how the alert engine gets on; nothing where that is not known."""
        try:
            status = self._alerts.get(now_ms)
        except StateUnavailableError:
            status = None
        if status is None:
            return {}
        position = status.position_in(self._journal.epoch)
        return {
            "alerts_lag_seconds": self._journal.waiting_seconds(position),
            "notifications_waiting": float(status.waiting),
        }

    def _counted(self) -> dict[str, float]:
        """Return field → count since ever; nothing where no api has counted yet."""
        counts: dict[str, float] = {}
        for (kind, *_), cells in shared_counters.totals(self._config.paths.counters).items():
            if kind in _COUNTED:
                counts[_COUNTED[kind]] = counts.get(_COUNTED[kind], 0.0) + cells[0]
        return counts

    def _backups(self, now_ms: int) -> list[StorePoint]:
        points = []
        for path in backups.files(self._config.paths.backups):
            status = self._whole(path, backups.read)
            if status is not None:
                fields = status.fields(now_ms)
                points.append(
                    StorePoint(NO_SERVER, "backup", (("kind", status.kind),), now_ms, fields)
                )
        return points

    def _ends(self, now_ms: int) -> list[StorePoint]:
        points = []
        for path, name in self._certificates.items():
            end = self._whole(Path(path), certificates.not_after)
            if end is not None:
                days = (end.timestamp() - now_ms / 1000) / _DAY_SECONDS
                points.append(
                    StorePoint(
                        NO_SERVER, "certificate", (("name", name),), now_ms, {"days_left": days}
                    )
                )
        return points

    def _whole(self, path: Path, read: Callable[[Path], Answer]) -> Answer | None:
        """Return what ``read`` finds in a file; ``None``, and a line once, if it is bad."""
        try:
            found = read(path)
        except (CertificateError, BackupStatusError) as error:
            if self._troubles.get(str(path)) != str(error):
                log.warning("not measured: %s", error)
            self._troubles[str(path)] = str(error)
            return None
        self._troubles.pop(str(path), None)
        return found


def server_point(
    server: Server,
    seen: LastSeen | None,
    now_ms: int,
    firing: int = 0,
    recent_percent: float | None = None,
) -> StorePoint:
    """Return the ``server`` point of one host.

    Tags and fields that are not known are absent, and so is a tag that no store could keep.
    """
    claimed = {name: server.labels.get(name) for name in _LABELS}
    claimed["agent_version"] = server.agent_version or (seen.agent_version if seen else None)
    tags = {name: text for name, text in claimed.items() if text and not check_tag_value(text)}
    fields = {
        "status": float(STATUSES.index(server_status(server, seen, now_ms))),
        "alerts_firing": float(firing),
    }
    if seen is not None and seen.completeness_percent is not None:
        fields["completeness_percent"] = seen.completeness_percent
    if recent_percent is not None:
        fields["completeness_15m_percent"] = recent_percent
    if server.clock_offset_ms is not None:
        fields["clock_offset_ms"] = float(server.clock_offset_ms)
    return StorePoint(server.id, "server", tuple(sorted(tags.items())), now_ms, fields)
