"""A query of ours to windows of InfluxDB: which source answers which part, and how parts join."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from hostpulse_server.store.base import Budget, Query, RawQuery, Series
from hostpulse_server.store.influxdb import csv_response, flux
from hostpulse_server.store.rollup import ceil_to, floor_to
from hostpulse_server.values.points import Tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Key = tuple[str, Tags, str]
Values = dict[int, float]


class Source(NamedTuple):
    """One request: from the raw values or, with ``endings``, from those fields of the rollups."""

    low: int
    high: int
    aggregate: str
    endings: tuple[str, ...] = ()


@dataclass
class _Found:
    """Of one series, window start → value; a mean is ``sums`` by ``counts`` where they join."""

    values: Values = field(default_factory=dict)
    sums: Values = field(default_factory=dict)
    counts: Values = field(default_factory=dict)


def sources(query: Query) -> list[Source]:
    """Return the requests that answer a query, oldest first.

    Rollups join exactly: means as sum by count. Where raw values take over inside a window, that
    window's raw part comes as sum and count too.
    """
    start = floor_to(query.start_ms, query.step_ms)
    end = min(ceil_to(query.end_ms, query.step_ms), flux.LAST_MS)
    border = min(max(query.raw_from_ms, start), end)
    shared = min(ceil_to(border, query.step_ms), end) if border > start else border
    if query.aggregate == "mean":
        found = [
            Source(start, border, "sum", ("sum", "count")),
            Source(border, shared, "sum"),
            Source(border, shared, "count"),
            Source(shared, end, "mean"),
        ]
    else:
        found = [
            Source(start, border, query.aggregate, (query.aggregate,)),
            Source(border, end, query.aggregate),
        ]
    return [source for source in found if source.low < source.high]


def request(query: Query, source: Source, *, numbers: bool) -> tuple[str, dict[str, Any]]:
    """Return the Flux of a source and its parameters, ``bucket`` not among them.

    With ``numbers`` texts are left out, which takes long.
    """
    text = flux.windows(
        source.aggregate,
        servers=query.server_ids is not None,
        fields=bool(query.fields or source.endings),
        tags=query.tags,
        numbers=numbers,
    )
    return text, {
        "measurement": query.measurement,
        "servers": flux.any_of(query.server_ids or ()),
        "fields": flux.any_of(query.fields, source.endings),
        **{f"tag_{name}": value for name, value in query.tags},
        "every": flux.duration(query.step_ms),
        **flux.span(source.low, source.high),
    }


def is_empty(query: Query) -> bool:
    """Return whether no series can match, such as with a tag whose name is none."""
    return query.server_ids == () or not all(flux.NAME.fullmatch(name) for name, _ in query.tags)


def raw_params(query: RawQuery) -> dict[str, Any]:
    """Return the parameters of ``raw.flux``, ``bucket`` not among them."""
    return {
        "servers": flux.any_of([query.server_id]),
        "measurements": flux.any_of(query.fields),
        "fields": flux.any_of(name for names in query.fields.values() for name in names),
        **flux.span(query.start_ms, query.end_ms),
    }


def raw_series(query: RawQuery, tables: Iterable[csv_response.CsvTable]) -> list[Series]:
    """Return what ``raw.flux`` answered as series; a table may be cut in several."""
    budget = Budget()
    found: dict[tuple[str, Tags, str], list[tuple[int, float]]] = {}
    for table in tables:
        server_id, measurement, tags, name = table.labels
        if server_id == query.server_id and name in query.fields.get(measurement, ()):
            budget.spend(len(table.values))
            found.setdefault((measurement, tags, name), []).extend(table.values)
    return [
        Series(query.server_id, measurement, name, tags, sorted(values))
        for (measurement, tags, name), values in sorted(found.items())
    ]


class Collector:
    """Takes tables in, in the order of the sources, and gives the series out."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._found: dict[Key, _Found] = {}
        self._budget = Budget()

    def take(self, source: Source, tables: Iterable[csv_response.CsvTable]) -> None:
        """Join the answer of one source; raises QueryError when all is more than is sensible."""
        for table in tables:
            server_id, _, tags, name = table.labels
            kind = source.aggregate
            if source.endings:
                name, _, kind = name.rpartition("_")
            self._budget.spend(len(table.values) if kind != "count" else 0)
            found = self._found.setdefault((server_id, tags, name), _Found())
            self._join(_place(found, kind), self._aligned(table.values))

    def series(self) -> list[Series]:
        """Return what was found, ordered, without values that overflowed."""
        made = []
        for (server_id, tags, name), found in sorted(self._found.items()):
            for start, total in found.sums.items():
                if start in found.counts:
                    found.values[start] = total / found.counts[start]
            points = sorted(item for item in found.values.items() if math.isfinite(item[1]))
            if points:
                made.append(Series(server_id, self._query.measurement, name, tags, points))
        return made

    def _aligned(self, values: list[tuple[int, float]]) -> Iterator[tuple[int, float]]:
        """Yield values at the starts of their windows, also where the source entered one late."""
        step = self._query.step_ms
        return ((floor_to(start, step), value) for start, value in values)

    def _join(self, into: Values, values: Iterable[tuple[int, float]]) -> None:
        aggregate = self._query.aggregate
        for start, value in values:
            known = into.get(start)
            if known is None or aggregate == "last":
                into[start] = value
            elif aggregate == "mean":
                into[start] = known + value
            else:
                into[start] = (min if aggregate == "min" else max)(known, value)


def _place(found: _Found, kind: str) -> Values:
    return {"sum": found.sums, "count": found.counts}.get(kind, found.values)
