"""Sampling: calls every collector that is due, checks every value, and isolates failures."""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING, Any

from hostpulse_agent import wire
from hostpulse_agent.collectors.base import Catalogue, Collector, Point
from hostpulse_agent.log import ProblemLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_POINTS = 2000
MAX_TAG = 255
MAX_NAMES = 20
MAX_NAME = 120
MAX_NAMES_BYTES = 12 << 10  # the server takes 16 KiB
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Sampler:
    """Collects points from ``collectors``, each at its own interval.

    ``errors`` is the number of collectors that failed in the last ``collect``.
    """

    def __init__(
        self,
        collectors: Iterable[Collector],
        interval: float,
        problems: ProblemLog | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval = interval
        self._problems = problems or ProblemLog()
        self._monotonic = monotonic
        self._due = dict.fromkeys(collectors, -math.inf)
        self.errors = 0

    def prime(self) -> None:
        """Take a first reading, so that the first sample has rates; make all collectors due."""
        self.collect()
        self._due = dict.fromkeys(self._due, -math.inf)

    def collect(self) -> list[Point]:
        """Call all collectors that are due and return the points that pass the checks."""
        self.errors = 0
        points: list[Point] = []
        for collector, due in self._due.items():
            now = self._monotonic()
            # Half a sampling interval of slack: ticks are never exactly an interval apart.
            if now + self._interval / 2 < due:
                continue
            self._due[collector] = now + (collector.interval_s or 0.0)
            points.extend(self._ask(collector))
        if len(points) > MAX_POINTS:
            self._problems.begin("points", f"more than {MAX_POINTS} points: the rest is left out")
        return points[:MAX_POINTS]

    def names(self) -> dict[str, list[str]]:
        """Return the names of what ails, by kind, bounded in number and size."""
        found: dict[str, list[str]] = {}
        for collector in self._due:
            for kind, names in collector.names.items():
                found[kind] = [name[:MAX_NAME] for name in names[:MAX_NAMES]]
        return bounded(found)

    def _ask(self, collector: Collector) -> list[Point]:
        name = collector.catalogue.measurement
        for attempt in (1, 2):
            try:
                points = collector.collect(self._monotonic())
                kept = [good for point in points if (good := self._check(collector, point))]
            except Exception as error:  # noqa: BLE001, PERF203 -- no collector may stop another
                if attempt == 2:  # noqa: PLR2004 -- the second and last
                    self.errors += 1
                    self._problems.begin(f"collector {name}", f"{name} is not measured: {error!r}")
            else:
                self._problems.end(f"collector {name}", f"{name} is measured again")
                return kept
        return []

    def _check(self, collector: Collector, point: Point) -> Point | None:
        """Return ``point`` with the fields that are declared, finite and in range."""
        catalogue = collector.catalogue
        if point.measurement != catalogue.measurement or not _tags_fit(point, catalogue):
            self._reject(point.measurement, "tags", point.tags)
            return None
        fields = {}
        for name, value in point.fields.items():
            field = catalogue.fields.get(name)
            # False for NaN, and for infinity where the range has an end; isfinite for the rest.
            if field and field.low <= value <= field.high and math.isfinite(value):
                fields[name] = round(value, 3) if type(value) is float else value
            else:
                self._reject(point.measurement, name, value)
        return Point(point.measurement, point.tags, fields) if fields else None

    def _reject(self, measurement: str, name: str, value: object) -> None:
        # Logged once per field, not per value: a value that jitters would fill the log.
        key = f"value {measurement}.{name}"
        if key not in self._problems.open:
            self._problems.begin(key, f"{measurement}.{name} is left out: {value!r} cannot be")


def bounded(names: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return names that fit into a request: the last ones of the longest list are left out."""
    while len(wire.encode(names)) > MAX_NAMES_BYTES:
        longest = max(names, key=lambda kind: len(names[kind]))
        names = {**names, longest: names[longest][:-1]}
    return names


def _tags_fit(point: Point, catalogue: Catalogue) -> bool:
    return point.tags.keys() <= catalogue.tags.keys() and all(
        0 < len(value) <= MAX_TAG and value.isprintable() and not value.endswith("\\")
        for value in point.tags.values()
    )


class Sources:
    """Sources of a sample: collectors, pids of their helpers, top processes and facts."""

    def __init__(
        self,
        collectors: Iterable[Collector],
        *,
        pids: Callable[[], Iterable[int]] = tuple,
        top: Callable[[], list[dict[str, Any]]] = list,
        facts: Callable[[], dict[str, Any]] = dict,
        close: Callable[[], object] = lambda: None,
    ) -> None:
        self.collectors = list(collectors)
        self.pids = pids
        self.top = top
        self.facts = facts
        self.close = close


class AgentUsage:
    """CPU usage of the agent and of its helper processes (``pids``)."""

    def __init__(self, pids: Callable[[], Iterable[int]], monotonic: Callable[[], float]) -> None:
        self._pids = pids
        self._monotonic = monotonic
        self._before = self._read()

    def _read(self) -> tuple[float, float]:
        spent = time.process_time() + sum(_cpu_seconds(pid) for pid in self._pids())
        return self._monotonic(), spent

    def cpu_percent(self) -> float | None:
        """Percent of one core since the last call; ``None`` if it is not known."""
        (before, spent_before), (now, spent) = self._before, self._read()
        self._before = (now, spent)
        if now <= before or spent < spent_before:  # a helper ended, and its CPU time is gone
            return None
        return 100.0 * (spent - spent_before) / (now - before)


def _cpu_seconds(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/schedstat", "rb", buffering=0) as file:
            return int(file.read(64).split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def resident_bytes() -> int:
    """Resident memory of this process."""
    with open("/proc/self/statm", "rb", buffering=0) as file:
        return int(file.read(128).split()[1]) * _PAGE
