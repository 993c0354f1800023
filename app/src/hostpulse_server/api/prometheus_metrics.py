"""The server's own figures as Prometheus reads them at GET /metrics.

Counters are summed over all processes of the api; the rest is read at the time of the request.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)

from hostpulse_server.engine.status import EngineStatusReader
from hostpulse_server.errors import ShipperStateUnavailableError, StateUnavailableError
from hostpulse_server.runtime.shared_counters import REJECTED, REQUESTS, SAMPLES, SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric

    from hostpulse_server.api.services import Services
    from hostpulse_server.runtime.shared_counters import SharedCounters, Totals

# a row of SECONDS: a cell for each bucket, one more for +Inf, then the total
_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)
TOTAL = len(_BUCKETS) + 1


def bucket(seconds: float) -> int:
    """Return the cell that counts a request of ``seconds``."""
    return bisect_left(_BUCKETS, seconds)


def registry(services: Services, tally: SharedCounters) -> CollectorRegistry:
    """Return all figures, to be read once."""
    made = CollectorRegistry()
    made.register(_Requests(tally))
    made.register(_Journal(services))
    made.register(_Shipper(services))
    made.register(_Alerts(services))
    return made


class _Requests:
    """What the processes of the api counted."""

    def __init__(self, tally: SharedCounters) -> None:
        self._tally = tally

    def collect(self) -> Iterable[Metric]:
        """Return the sums over all processes, of those before this one, too."""
        totals = self._tally.totals()
        requests = CounterMetricFamily(
            "hostpulse_requests", "Requests answered.", labels=["endpoint", "method", "status"]
        )
        for (kind, *labels), cells in sorted(totals.items()):
            if kind == REQUESTS:
                requests.add_metric(labels, cells[0])
        yield requests
        yield _seconds(totals)
        for key, text in (
            (SAMPLES, "Samples kept, whole or in part."),
            (REJECTED, "Samples and points rejected."),
        ):
            value = totals[key,][0] if (key,) in totals else 0.0
            yield CounterMetricFamily(f"hostpulse_{key}", text, value=value)


def _seconds(totals: Totals) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        "hostpulse_request_seconds",
        "Time from a request's start to its answer.",
        labels=["endpoint"],
    )
    edges = [*(str(float(edge)) for edge in _BUCKETS), "+Inf"]
    for (kind, *labels), cells in sorted(totals.items()):
        if kind == SECONDS:
            counts = accumulate(cells[: len(edges)])
            family.add_metric(labels, list(zip(edges, counts, strict=True)), cells[TOTAL])
    return family


class _Journal:
    """How full the journal is."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterable[Metric]:
        """Return size and age of the journal."""
        stats = self._services.journal.stats()
        age = 0.0
        if stats.oldest_ms is not None:
            age = max(0, self._services.clock.now_ms() - stats.oldest_ms) / 1000
        yield from _gauges(
            ("journal_bytes", "Bytes that entries take.", stats.bytes),
            ("journal_max_bytes", "Bound of the journal.", self._services.config.journal.max_bytes),
            ("journal_entries", "Entries that a consumer still needs.", stats.entries),
            ("journal_oldest_seconds", "Age of the oldest entry.", age),
        )


class _Shipper:
    """How the shipper gets on; nothing while it has not begun or its file cannot be read."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterable[Metric]:
        """Return whether the store takes points, and what waits for it."""
        try:
            status = self._services.seen.status()
        except ShipperStateUnavailableError:
            status = None
        if status is None:
            return
        journal = self._services.journal
        lag = journal.waiting_seconds(status.position_in(journal.epoch))
        set_aside = CounterMetricFamily(
            "hostpulse_set_aside", "What was set aside or given up, ever.", labels=["reason"]
        )
        for reason, count in sorted(status.set_aside.items()):
            set_aside.add_metric([reason], count)
        yield set_aside
        yield from _gauges(
            ("store_up", "1 if the store took the last batch.", float(not status.store_error)),
            ("store_lag_seconds", "Age of the oldest entry not in the store yet.", lag),
            (
                "quarantine_points",
                "Points waiting in the quarantine.",
                float(status.quarantine_points),
            ),
            ("rollup_dirty_windows", "Windows to roll up or to repair.", status.dirty_windows),
        )


class _Alerts:
    """How the alert engine gets on; nothing while it has not begun or the state is away."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterable[Metric]:
        """Return alerts that fire, notifications that wait, and faults of the engine."""
        journal, now_ms = self._services.journal, self._services.clock.now_ms()
        try:
            status = EngineStatusReader(self._services.registry.database).get(now_ms)
        except StateUnavailableError:
            status = None
        if status is None:
            return
        active = GaugeMetricFamily(
            "hostpulse_alerts_firing", "Alerts that fire.", labels=["severity"]
        )
        for severity, count in status.firing.items():
            active.add_metric([severity], count)
        yield active
        passed = CounterMetricFamily(
            "hostpulse_alerts_faults", "Entries and samples passed over, ever.", labels=["kind"]
        )
        for kind, count in sorted(status.faults.items()):
            passed.add_metric([kind], count)
        yield passed
        yield CounterMetricFamily(
            "hostpulse_alerts_skipped",
            "Journal entries dropped before the engine read them.",
            value=status.cursor.skipped,
        )
        yield from _gauges(
            (
                "alerts_lag_seconds",
                "Age of the oldest entry not evaluated yet.",
                journal.waiting_seconds(status.position_in(journal.epoch)),
            ),
            (
                "alerts_alive_seconds",
                "Since the engine last worked.",
                max(0, now_ms - status.cursor.alive_ms) / 1000,
            ),
            ("alerts_rules", "Rules in force.", float(status.rules)),
            (
                "alerts_rules_fault",
                "1 while the rules files are wrong and those read before stay in force.",
                float(bool(status.rules_fault)),
            ),
            ("notifications_waiting", "Notifications on their way.", float(status.waiting)),
            ("notifications_failed", "Notifications that no channel took.", float(status.failed)),
        )


def _gauges(*rows: tuple[str, str, float]) -> Iterable[Metric]:
    for name, text, value in rows:
        yield GaugeMetricFamily(f"hostpulse_{name}", text, value=value)
