"""Which bucket a dashboard reads some days ago, as long as raw values are kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.dashboards.committed import dashboards
from tests.dashboards.interpolation import Macros, expand, interpolate
from tests.e2e.influx import RAW, ROLLUP

if TYPE_CHECKING:
    from testbed.influxdb.local import Influxd

(OVERVIEW,) = (one for one in dashboards() if one.name == "hostpulse-overview")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.mark.parametrize(("retention", "read"), [("2d", "22"), ("5d12h", "11"), ("432000s", "11")])
def test_what_is_no_longer_there_raw_is_read_from_rollups(
    influxd: Influxd, retention: str, read: str
) -> None:
    """A short range three days ago: raw while the site keeps raw values that long."""
    now = time.time_ns() // 1_000_000
    at = now - 3 * DAY_MS
    names = {name: f"{name}_kept_{retention}" for name in (RAW, ROLLUP)}
    for name in names.values():
        influxd.bucket(name)
    head = "memory,server_id=web-01"
    influxd.write(names[RAW], f"{head} used_percent=11 {at}")
    influxd.write(names[ROLLUP], f"{head} used_percent_mean=22 {at}")
    (question,) = (one for one in OVERVIEW.questions() if one.owner == "Memory of all servers A")
    flux = interpolate(question.flux, {"server": ["web-01"]})
    for old, new in names.items():
        flux = flux.replace(f'"{old}"', f'"{new}"')
    assert "retention = 7d\n" in flux
    flux = flux.replace("retention = 7d", f"retention = {retention}")
    answer = influxd.query(expand(flux, Macros(at - 3 * HOUR_MS, at + 3 * HOUR_MS, 60_000)))
    assert f",{read}," in answer.replace("\r\n", ",\n")
