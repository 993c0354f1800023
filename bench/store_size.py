"""What a host takes on influxd's disk a day, once its files are compacted."""

from __future__ import annotations

import time
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING

from bench import store_data as data
from bench.report import Row
from bench.store_files import COMPACT_SOON, settle, sizes
from testbed.influxdb.local import Influxd
from tests.e2e import influx
from tests.e2e.services import Site

from hostpulse_server.store.base import RollupWindow
from hostpulse_server.store.factory import open_store

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = 5
MIB = 2**20


def measure(folder: Path) -> list[Row]:
    """Write a day of some hosts, have our store roll it up, and look at the files."""
    folder.mkdir(exist_ok=True)
    end_ms = time.time_ns() // 1_000_000 // data.DAY_MS * data.DAY_MS
    begin_ms = end_ms - data.DAY_MS
    with Influxd.start(folder / "influxd", COMPACT_SOON) as influxd:
        site = Site.make(folder, influx.prepare(influxd, folder))
        heads = list(chain.from_iterable(map(data.whole, range(HOSTS))))
        for body in data.bodies(data.raw(heads, begin_ms, end_ms)):
            influxd.write(influx.RAW, body)
        servers = map(data.server, range(HOSTS))
        for body in data.bodies(data.raw(servers, begin_ms, end_ms, data.SERVER_STEP_MS)):
            influxd.write(influx.RAW, body)
        roll_up(site, begin_ms, end_ms)
        settle(influxd.directory)
        found = influxd.call("GET", "/api/v2/buckets")["buckets"]
        ids = {bucket["name"]: bucket["id"] for bucket in found}
    values = sum(len(head.fields) for head in heads) * (data.DAY_MS // data.STEP_MS)
    kept = influxd.directory / "engine" / "data"
    taken = {name: sum(sizes(kept / ids[name], "*.tsm").values()) for name in ids}
    index = sum(
        sum(sizes(kept / ids[name], "*.ts[il]").values()) for name in (influx.RAW, influx.ROLLUP)
    )
    return [
        Row("raw values, a host and day", taken[influx.RAW] / HOSTS / MIB, "MiB"),
        Row("rollups, a host and day", taken[influx.ROLLUP] / HOSTS / MIB, "MiB"),
        Row("index of both buckets, a host and day", index / HOSTS / MIB, "MiB"),
        Row("a raw value", taken[influx.RAW] / values, "bytes"),
    ]


def roll_up(site: Site, begin_ms: int, end_ms: int) -> None:
    """Make the rollups of all windows, as the shipper has them made."""
    with closing(open_store(site.config)) as store:
        for host in range(HOSTS):
            starts = range(begin_ms, end_ms, data.WINDOW_MS)
            windows = [RollupWindow(data.host_name(host), start) for start in starts]
            store.rollup(windows, data.WINDOW_MS)
