"""Rollups: which windows are read together, and what points they become; pure."""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from hostpulse_server.store.rollup import floor_to
from hostpulse_server.values.points import StorePoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hostpulse_server.store.base import RollupWindow
    from hostpulse_server.store.influxdb.csv_response import CsvTable

# one request's bound: with a host's usual 134 fields every 10 s, 200,000 rows
MAX_WINDOWS = 50


class RollupGroup(NamedTuple):
    """Servers that all need the windows in ``[start_ms, end_ms)``."""

    server_ids: tuple[str, ...]
    start_ms: int
    end_ms: int


def groups(windows: Iterable[RollupWindow], window_ms: int) -> list[RollupGroup]:
    """Return the fewest requests for exactly these windows: spans in time, then servers alike."""
    servers: dict[tuple[int, int], list[str]] = {}
    for server_id, start, end in _spans(windows, window_ms):
        servers.setdefault((start, end), []).append(server_id)
    found = []
    for (start, end), ids in sorted(servers.items()):
        size = max(1, MAX_WINDOWS // ((end - start) // window_ms))
        found += [
            RollupGroup(tuple(ids[first : first + size]), start, end)
            for first in range(0, len(ids), size)
        ]
    return found


def points(tables: Iterable[CsvTable], window_ms: int) -> Iterator[StorePoint]:
    """Yield the rollup points of raw values; one may come in parts, which writing them joins."""
    for (server_id, measurement, tags), series in groupby(tables, lambda one: one.labels[:3]):
        found: dict[int, dict[str, float]] = {}
        for table in series:
            for start_ms, values in groupby(table.values, lambda at: floor_to(at[0], window_ms)):
                kept = _kept(table.labels.field, [value for _, value in values])
                found.setdefault(start_ms, {}).update(kept)
        for start_ms, fields in found.items():
            yield StorePoint(server_id, measurement, tags, start_ms, fields)


def _kept(field: str, values: list[float]) -> dict[str, float]:
    """Return what a rollup keeps of a window; without a mean, and what joins it, on overflow."""
    kept = {"min": min(values), "max": max(values), "last": values[-1]}
    total = sum(values)
    if math.isfinite(total):
        count = len(values)
        kept |= {"sum": total, "count": count, "mean": total / count}
    return {f"{field}_{name}": value for name, value in kept.items()}


def _spans(windows: Iterable[RollupWindow], window_ms: int) -> Iterator[tuple[str, int, int]]:
    """Yield (server, start, end) of windows in a row, at most ``MAX_WINDOWS`` of them."""
    ordered: Sequence[RollupWindow] = sorted(set(windows))
    first = 0
    for index in range(1, len(ordered) + 1):
        server_id, start = ordered[first]
        is_longer = (
            index < len(ordered)
            and index - first < MAX_WINDOWS
            and ordered[index] == (server_id, start + (index - first) * window_ms)
        )
        if not is_longer:
            yield server_id, start, start + (index - first) * window_ms
            first = index
