"""Stored samples read back as agents sent them, as far as some rules look at them."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hostpulse_server.errors import QueryError
from hostpulse_server.store.base import RawQuery

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hostpulse_server.rules.model import Rule
    from hostpulse_server.store.base import Series, Store
    from hostpulse_server.values.points import Tags

    Point = Mapping[str, Any]
    Sample = tuple[int, Sequence[Point]]

PAGE_MS: Final = 6 * 3_600_000
STRETCH_MS: Final = 3_600_000
_SHORTEST_MS: Final = 60_000
# in every sample, so that a missing series is distinguished from a silent host
_PRESENCE: Final = ("system", "uptime_seconds")


class Column(NamedTuple):
    """The values of one series, each with its time."""

    measurement: str
    tags: Tags
    field: str
    times: tuple[int, ...]
    values: tuple[float, ...]


class Stretch:
    """Successive samples of one server; ``is_even`` where every one has all series."""

    __slots__ = ("columns", "end_ms", "is_even", "series", "start_ms")

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = columns
        self.series = [column[:3] for column in columns]
        self.start_ms = min(column.times[0] for column in columns)
        self.end_ms = max(column.times[-1] for column in columns)
        self.is_even = all(column.times == columns[0].times for column in columns)

    def first_points(self) -> Sequence[Point]:
        """Return a point of each measurement and tags."""
        found: dict[tuple[str, Tags], dict[str, float]] = defaultdict(dict)
        for measurement, tags, name, _, values in self.columns:
            found[measurement, tags][name] = values[0]
        return [
            {"measurement": measurement, "tags": dict(tags), "fields": fields}
            for (measurement, tags), fields in found.items()
        ]

    def samples(self) -> list[Sample]:
        """Return the samples, (time, points), in the order of their times."""
        found: dict[tuple[str, Tags], list[Column]] = defaultdict(list)
        for column in self.columns:
            found[column.measurement, column.tags].append(column)
        points = [_points(columns) for columns in found.values()]
        if self.is_even:
            rows = map(list, zip(*(made for _, made in points), strict=True))
            return list(zip(points[0][0], rows, strict=True))
        samples: dict[int, list[Point]] = {}
        for times, made in points:
            for time_ms, point in zip(times, made, strict=True):
                samples.setdefault(time_ms, []).append(point)
        return sorted(samples.items(), key=itemgetter(0))


class SampleHistory:
    """The stored samples of some time: a server's are read a page at a time, each page once."""

    def __init__(self, store: Store, rules: Iterable[Rule], start_ms: int, end_ms: int) -> None:
        self._store = store
        self._start_ms = start_ms
        self._end_ms = end_ms
        self._fields: dict[str, set[str]] = defaultdict(set)
        self._fields[_PRESENCE[0]].add(_PRESENCE[1])
        for rule in rules:
            self._fields[rule.measurement] |= {rule.field, *(one.field for one in rule.only_if)}

    @property
    def pages(self) -> int:
        """How many pages a server has."""
        return -(-(self._end_ms - self._start_ms) // PAGE_MS)

    def read(self, server_id: str) -> Iterator[list[Stretch]]:
        """Yield one server's samples in the order of their times, by page."""
        for low in range(self._start_ms, self._end_ms, PAGE_MS):
            yield list(self._page(server_id, low, min(low + PAGE_MS, self._end_ms)))

    def _page(self, server_id: str, low: int, high: int) -> Iterator[Stretch]:
        try:
            series = self._store.raw(RawQuery(server_id, self._fields, low, high))
        except QueryError:  # more values than one answer holds
            middle = (low + high) // 2
            if middle - low < _SHORTEST_MS:
                raise
            yield from self._page(server_id, low, middle)
            yield from self._page(server_id, middle, high)
        else:
            yield from stretches(series, low, high)


def stretches(series: Iterable[Series], low: int, high: int) -> Iterator[Stretch]:
    """Yield what there is of series from ``low`` to before ``high``, by hour."""
    columns = [
        Column(one.measurement, one.tags, one.field, *zip(*one.points, strict=True))
        for one in series
    ]
    for start in range(low, high, STRETCH_MS):
        parts = (_part(column, start, min(start + STRETCH_MS, high)) for column in columns)
        some = [part for part in parts if part.times]
        if some:
            yield Stretch(some)


def _part(column: Column, low: int, high: int) -> Column:
    first, end = bisect_left(column.times, low), bisect_left(column.times, high)
    return column._replace(times=column.times[first:end], values=column.values[first:end])


def _points(columns: Sequence[Column]) -> tuple[Sequence[int], list[Point]]:
    """Return the times and points of one measurement with one set of tags."""
    first = columns[0]
    shared, names = dict(first.tags), [column.field for column in columns]
    times: Sequence[int] = first.times
    fields: Iterable[dict[str, float]]
    if all(column.times == times for column in columns):
        rows = zip(*(column.values for column in columns), strict=True)
        fields = (dict(zip(names, row, strict=True)) for row in rows)
    else:
        known: dict[int, dict[str, float]] = {}
        for column in columns:
            for time_ms, value in zip(column.times, column.values, strict=True):
                known.setdefault(time_ms, {})[column.field] = value
        times = sorted(known)
        fields = (known[time_ms] for time_ms in times)
    return times, [
        {"measurement": first.measurement, "tags": shared, "fields": one} for one in fields
    ]
