"""A day of a generated fleet that ends now, as the store has it: raw, and rolled up."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from bench import store_alerts as alerts
from bench import store_data as data

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.influxdb.local import Influxd

HOSTS = 50
# All measurements are there of the first host, which a page about one server opens with, all day;
# of the others in the last hour, and what is shown of all servers together all day.
_WHOLE = range(1)
_SOME = range(1, HOSTS)
# Coarser than a real one's, but not in the last hour: it is written while a test waits for it.
_COARSE_MS = 300_000
_FINE_MS = 60_000


def write(influxd: Influxd, raw: str, rollup: str, end_ms: int) -> None:
    """Write the day before ``end_ms`` into two buckets; the last window is not rolled up yet."""
    for bucket, lines in ((raw, _raw(end_ms)), (rollup, _rollups(end_ms))):
        for body in data.bodies(lines):
            influxd.write(bucket, body)


def write_servers(influxd: Influxd, bucket: str, count: int, end_ms: int) -> None:
    """Write some minutes of what an overview shows of ``count`` servers."""
    heads = chain.from_iterable((data.server(one), *data.overview(one)) for one in range(count))
    lines = data.raw(heads, end_ms - 10 * _FINE_MS, end_ms, _FINE_MS)
    for body in data.bodies([list(chain.from_iterable(lines))]):
        influxd.write(bucket, body)


def _raw(end_ms: int) -> Iterator[list[str]]:
    begin, hour = end_ms - data.DAY_MS, end_ms - data.HOUR_MS
    yield from data.raw(_heads(), begin, hour, _COARSE_MS)
    recent = chain.from_iterable(map(data.whole, range(HOSTS)))
    yield from data.raw(chain(recent, _of_server()), hour, end_ms, _FINE_MS)
    for host in range(HOSTS):
        yield alerts.raw(_transitions(host, end_ms), begin)


def _rollups(end_ms: int) -> Iterator[list[str]]:
    end = end_ms // data.WINDOW_MS * data.WINDOW_MS - data.WINDOW_MS
    yield from data.rollups(_heads(), end - data.DAY_MS, end)
    for host in range(HOSTS):
        yield alerts.rollups(_transitions(host, end_ms))


def _heads() -> Iterator[data.Head]:
    whole = chain.from_iterable(map(data.whole, _WHOLE))
    return chain(whole, chain.from_iterable(map(data.overview, _SOME)), _of_server())


def _of_server() -> Iterator[data.Head]:
    return chain(map(data.server, range(HOSTS)), data.own())


def _transitions(host: int, end_ms: int) -> Iterator[alerts.Transition]:
    end = end_ms - 2 * data.WINDOW_MS
    return alerts.transitions(host, end_ms - 7 * data.DAY_MS, end)
