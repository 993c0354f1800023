"""Generated history for the store's benchmarks: plausible values, straight as line protocol.

Values move as a host's do (what is constant stays so, gauges wander, rates are noisy, errors are
rare): how they compress decides how many bytes a host takes.
"""

from __future__ import annotations

import random
import re
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from bench.ingest_sample import POINTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STEP_MS = 10_000
WINDOW_MS = 300_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SERVER_STEP_MS = 60_000  # the server's own measurements
_VARIANTS = 8  # hosts with the same number modulo this have the same values
_CONSTANT = {
    "total_bytes": 16_729_636_864,
    "hugepages_bytes": 0,
    "inodes_total": 6_553_600,
    "cores": 4,
    "speed_bits_per_second": 10_000_000_000,
    "link_up": 1,
    "status": 0,
    "completeness_percent": 100,
    "alerts_firing": 0,
    "journal_hours_left": 720,
    "verified": 1,
}
_RARE = re.compile(
    "errors|drops|packet_loss|overflows|readonly|hung|zombie|blocked|uninterruptible|failed"
    "|degraded|oom|steal|nice|orphan|missed|dropped|failures"
)
_PIPELINE = (
    "requests_per_second samples_per_second rejected_points_per_second journal_bytes "
    "journal_hours_left store_lag_seconds alerts_lag_seconds quarantine_points "
    "rollup_dirty_windows store_write_ms notifications_waiting"
)
_OFTEN, _SELDOM = 0.01, 0.0005
_CHUNK = 20_000  # lines a request


class Head(NamedTuple):
    """A measurement with its tags, as a line begins, its fields, and the host's number."""

    text: str
    fields: tuple[str, ...]
    host: int


def host_name(host: int) -> str:
    """Return the server id of a host."""
    return f"bench-{host:02}"


def whole(host: int) -> list[Head]:
    """Return all that a host's sample has."""
    found = []
    for measurement, tags, names in POINTS:
        labels = "".join(f",{name}={value}" for name, value in sorted(tags.items()))
        text = f"{measurement},server_id={host_name(host)}{labels}"
        found.append(Head(text, tuple(names.split()), host))
    return found


def overview(host: int) -> list[Head]:
    """Return what an overview of many hosts reads of one."""
    found = []
    for head in whole(host):
        if ",core=total" in head.text:
            found.append(head._replace(fields=("usage_percent",)))
        elif head.text.startswith(("memory,", "disk,")):
            found.append(head._replace(fields=("used_percent",)))
    return found


def server(host: int) -> Head:
    """Return what the server says about a host."""
    labels = "env=production,group=web" if host % 2 else "env=staging"
    text = f"server,agent_version=0.{host % 3}.0,{labels},server_id={host_name(host)}"
    return Head(text, ("status", "completeness_percent", "alerts_firing", "clock_offset_ms"), host)


def own() -> list[Head]:
    """Return what the server says about itself."""
    return [
        Head("pipeline", tuple(_PIPELINE.split()), 0),
        Head("backup,kind=state", ("age_seconds", "bytes", "verified"), 0),
        Head("backup,kind=influxdb", ("age_seconds", "bytes", "verified"), 1),
        Head("certificate,name=server", ("days_left",), 0),
    ]


def raw(
    heads: Iterable[Head], begin_ms: int, end_ms: int, step_ms: int = STEP_MS
) -> Iterator[list[str]]:
    """Yield for each head its lines, one a step."""
    moments = range(begin_ms, end_ms, step_ms)
    for text, names, host in heads:
        form = f"{text} {','.join(f'{name}=%s' for name in names)} %d"
        columns = [_values(name, host % _VARIANTS, len(moments)) for name in names]
        yield [form % row for row in zip(*columns, moments, strict=True)]


def rollups(
    heads: Iterable[Head], begin_ms: int, end_ms: int, step_ms: int = STEP_MS
) -> Iterator[list[str]]:
    """Yield for each head the lines of its rollups, one a window."""
    moments = range(begin_ms, end_ms, WINDOW_MS)
    count = WINDOW_MS // step_ms
    for text, names, host in heads:
        form = ",".join(
            f"{name}_sum=%s,{name}_count={count}.0,{name}_min=%s,{name}_max=%s,{name}_last=%s,"
            f"{name}_mean=%s"
            for name in names
        )
        columns = []
        for name in names:
            values = _values(name, host % _VARIANTS, len(moments))
            columns += [[repr(float(one) * count) for one in values], *[values] * 4]
        yield [f"{text} {form} %d" % row for row in zip(*columns, moments, strict=True)]


def bodies(series: Iterable[list[str]]) -> Iterator[str]:
    """Yield write requests."""
    for lines in series:
        for first in range(0, len(lines), _CHUNK):
            yield "\n".join(lines[first : first + _CHUNK])


@lru_cache(maxsize=4096)
def _values(field: str, variant: int, count: int) -> list[str]:
    """Return values of a field as they stand in line protocol."""
    rng = random.Random(f"{field} {variant}")  # noqa: S311  # made-up figures
    return list(islice(_walk(field, rng), count))


def _walk(field: str, rng: random.Random) -> Iterator[str]:
    if field in _CONSTANT:
        while True:
            yield f"{_CONSTANT[field]}.0"
    if _RARE.search(field):
        while True:
            yield "1.0" if rng.random() < _SELDOM else "0.0"
    if field == "uptime_seconds":
        yield from (f"{seconds}.0" for seconds in range(rng.randrange(10**7), 10**9, 10))
    if field.endswith("_bytes"):
        yield from _gauge(rng)
    if field.endswith("_percent"):
        yield from _hover(rng)
    while True:
        yield f"{rng.expovariate(0.01):.3f}"


def _gauge(rng: random.Random) -> Iterator[str]:
    """Yield sizes in pages that grow and shrink."""
    now = 10**9 // 4096
    while True:
        now = max(0, now + rng.randrange(-64, 65))
        yield f"{now * 4096}.0"


def _hover(rng: random.Random) -> Iterator[str]:
    """Yield percentages that hover about a level, which changes every quarter of an hour."""
    level = now = rng.uniform(1, 60)
    while True:
        if rng.random() < _OFTEN:
            level = rng.uniform(1, 60)
        now += (level - now) * 0.2 + rng.gauss(0, 1)
        yield f"{min(100.0, max(0.0, now)):.3f}"
