"""A generated history in an influxd, made once and kept in the cache between runs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import store_alerts as alerts
from bench import store_data as data
from bench.store_files import COMPACT_SOON, settle
from testbed.influxdb.local import Influxd
from tests.e2e.influx import RAW, ROLLUP

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTS = 50
WHOLE_HOSTS = 2  # have all measurements all the time, the others in the last hour
RAW_DAYS, ROLLUP_DAYS = 7, 30


class History:
    """Where the history ends, and the token that reads it."""

    def __init__(self, influxd: Influxd, made: dict[str, Any]) -> None:
        self.influxd = influxd
        self.end_ms = int(made["end_ms"])
        self.query_token = str(made["query_token"])


def cache() -> Path:
    """Return the folder of the history that this code makes."""
    recipe = b"".join(
        Path(source).read_bytes() for source in (__file__, data.__file__, alerts.__file__)
    )
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "hostpulse" / "bench" / f"history-{hashlib.sha256(recipe).hexdigest()[:8]}"


@contextmanager
def opened() -> Iterator[History]:
    """Give the history in a running influxd."""
    home = cache()
    if not (home / "made.json").exists():
        make(home)
    made = json.loads((home / "made.json").read_text())
    influxd = Influxd(home / "influxd")
    influxd.operator_token, influxd.org_id = made["operator_token"], made["org_id"]
    influxd.resume()
    with influxd:
        yield History(influxd, made)


def make(home: Path) -> None:
    """Make the history in ``home``, ``made.json`` last; those of former recipes go."""
    for former in home.parent.glob("history-*"):
        shutil.rmtree(former)
    end_ms = time.time_ns() // 1_000_000 // data.DAY_MS * data.DAY_MS
    with Influxd.start(home / "influxd", COMPACT_SOON) as influxd:
        ids = [_bucket(influxd, name) for name in (RAW, ROLLUP)]
        for bucket, lines in ((RAW, raw_lines(end_ms)), (ROLLUP, rollup_lines(end_ms))):
            for body in data.bodies(lines):
                influxd.write(bucket, body)
        settle(influxd.directory)
        made = {
            "end_ms": end_ms,
            "operator_token": influxd.operator_token,
            "org_id": influxd.org_id,
            "query_token": influxd.token(read=ids),
        }
    (home / "made.json").write_text(json.dumps(made))
    (home / "made.json").chmod(0o600)


def _bucket(influxd: Influxd, name: str) -> str:
    """Make a bucket that keeps all, for later runs, in shards as long as a real one's."""
    rule = {"type": "expire", "everySeconds": 0, "shardGroupDurationSeconds": 86_400}
    document = {"name": name, "orgID": influxd.org_id, "retentionRules": [rule]}
    return str(influxd.call("POST", "/api/v2/buckets", document)["id"])


def raw_lines(end_ms: int) -> Iterator[list[str]]:
    """Yield the raw values, day after day."""
    some, all_of_it = range(WHOLE_HOSTS, HOSTS), range(WHOLE_HOSTS)
    last_hour = end_ms - data.HOUR_MS
    for day in range(RAW_DAYS, 0, -1):
        begin, end = end_ms - day * data.DAY_MS, end_ms - (day - 1) * data.DAY_MS
        yield from data.raw(chain.from_iterable(map(data.whole, all_of_it)), begin, end)
        until = min(end, last_hour)
        yield from data.raw(chain.from_iterable(map(data.overview, some)), begin, until)
        servers = map(data.server, range(HOSTS))
        yield from data.raw(servers, begin, end, data.SERVER_STEP_MS)
        yield from data.raw(data.own(), begin, end, data.SERVER_STEP_MS)
    yield from data.raw(chain.from_iterable(map(data.whole, some)), last_hour, end_ms)
    for host in range(HOSTS):
        yield alerts.raw(_transitions(host, end_ms), end_ms - RAW_DAYS * data.DAY_MS)


def rollup_lines(end_ms: int) -> Iterator[list[str]]:
    """Yield the rollups, day after day, but for the last window: that is not rolled up yet."""
    some, all_of_it = range(WHOLE_HOSTS, HOSTS), range(WHOLE_HOSTS)
    for day in range(ROLLUP_DAYS, 0, -1):
        begin = end_ms - day * data.DAY_MS
        end = min(begin + data.DAY_MS, end_ms - data.WINDOW_MS)
        yield from data.rollups(chain.from_iterable(map(data.whole, all_of_it)), begin, end)
        yield from data.rollups(chain.from_iterable(map(data.overview, some)), begin, end)
        yield from data.rollups(map(data.server, range(HOSTS)), begin, end, data.SERVER_STEP_MS)
        yield from data.rollups(data.own(), begin, end, data.SERVER_STEP_MS)
    for host in range(HOSTS):
        yield alerts.rollups(_transitions(host, end_ms))


def _transitions(host: int, end_ms: int) -> Iterator[alerts.Transition]:
    return alerts.transitions(host, end_ms - ROLLUP_DAYS * data.DAY_MS, end_ms - data.WINDOW_MS)
