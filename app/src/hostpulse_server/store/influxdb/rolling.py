"""Rollups: which windows are read together, and what points they become; pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from hostpulse_server.store.base import StorePoint, Tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hostpulse_server.store.base import Window
    from hostpulse_server.store.influxdb.answers import Table

# one request's bound: with a host's usual 134 fields and five aggregates, 200,000 rows
MAX_WINDOWS = 300


class Group(NamedTuple):
    """Servers that all need the windows in ``[start_ms, end_ms)``."""

    server_ids: tuple[str, ...]
    start_ms: int
    end_ms: int


def groups(windows: Iterable[Window], window_ms: int) -> list[Group]:
    """Return the fewest requests for exactly these windows: spans in time, then servers alike."""
    servers: dict[tuple[int, int], list[str]] = {}
    for server_id, start, end in _spans(windows, window_ms):
        servers.setdefault((start, end), []).append(server_id)
    found = []
    for (start, end), ids in sorted(servers.items()):
        size = max(1, MAX_WINDOWS // ((end - start) // window_ms))
        found += [
            Group(tuple(ids[first : first + size]), start, end)
            for first in range(0, len(ids), size)
        ]
    return found


def points(tables: Iterable[Table]) -> list[StorePoint]:
    """Return the rollup points of tables whose result is an aggregate's name."""
    found: dict[tuple[str, str, Tags, int], dict[str, float]] = {}
    for result, (server_id, measurement, tags, field), values in tables:
        name = f"{field}_{result}"
        for start_ms, value in values:
            found.setdefault((server_id, measurement, tags, start_ms), {})[name] = value
    return [StorePoint(*key, _with_means(fields)) for key, fields in sorted(found.items())]


def _with_means(fields: dict[str, float]) -> dict[str, float]:
    """Add means; a sum that overflowed goes, and its count, so that joined means stay true."""
    for name in [name for name in fields if name.endswith("_sum")]:
        base = name.removesuffix("_sum")
        if math.isfinite(fields[name]):
            fields[f"{base}_mean"] = fields[name] / fields[f"{base}_count"]
        else:
            del fields[name], fields[f"{base}_count"]
    return fields


def _spans(windows: Iterable[Window], window_ms: int) -> Iterator[tuple[str, int, int]]:
    """Yield (server, start, end) of windows in a row, at most ``MAX_WINDOWS`` of them."""
    ordered: Sequence[Window] = sorted(set(windows))
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
