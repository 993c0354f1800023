"""Panels show the values and the labels that three servers with known ones have."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from bench.store_data import HOUR_MS
from tests.dashboards.datasource import FluxDataSource, View
from tests.dashboards.role import adapted, data_source_token

if TYPE_CHECKING:
    from testbed.influxdb.local import Influxd
    from tests.dashboards.committed import Dashboard

RAW, ROLLUP = "known_raw", "known_rollup"
EARLIER = (
    "cpu,server_id=a,core=total usage_percent=60",
    "memory,server_id=a used_percent=43,used_bytes=4300",
    "alert,rule=cpu_usage,server_id=b,severity=warning,state=firing change=1,duration_seconds=60",
    "alert,rule=disk_usage,server_id=a,severity=warning,state=firing change=1,duration_seconds=60",
    "alert,rule=disk_usage,server_id=b,severity=warning,state=firing change=1,duration_seconds=120",
    "alert,rule=cpu_usage,server_id=a,severity=warning,state=firing change=1,duration_seconds=60",
    "alert,rule=cpu_usage,server_id=c,severity=critical,state=firing change=1,duration_seconds=60",
)
NOW = (
    "cpu,server_id=a,core=total usage_percent=80",
    "cpu,server_id=a,core=0 usage_percent=99",
    "cpu,server_id=b,core=total usage_percent=20",
    "memory,server_id=a used_percent=41,used_bytes=4100",
    "memory,server_id=b used_percent=52,used_bytes=5200",
    "disk,server_id=a,mount=/ used_percent=63",
    "disk,server_id=a,mount=/srv used_percent=74",
    "disk,server_id=b,mount=/ used_percent=35",
    "system,server_id=a uptime_seconds=5000,load_per_core=0.5",
    "system,server_id=b uptime_seconds=6000,load_per_core=0.7",
    "server,server_id=a,agent_version=0.1.0 status=0,completeness_percent=97",
    "server,server_id=b,agent_version=0.2.0 status=2,completeness_percent=88",
    "server,server_id=c,agent_version=0.2.0 status=1,completeness_percent=99",
    # As many of each status as nothing else is: one up, two late, three down, four otherwise.
    *(
        f"server,server_id=s{number} status={status},completeness_percent=100"
        for number, status in enumerate((1, 2, 2, 3, 3, 4, 5))
    ),
    "pipeline samples_per_second=12,journal_hours_left=700,notifications_waiting=3",
    "backup,kind=state age_seconds=3600,bytes=1000,verified=1",
    "certificate,name=server days_left=33",
    "alert,rule=disk_usage,server_id=a,severity=warning,state=resolved change=-1",
    "alert,rule=cpu_usage,server_id=a,severity=warning,state=resolved change=-1",
)
EARLIER_MS, NOW_MS = 300_000, 30_000  # ago
# By dashboard and panel: what is shown, in this order; times left out.
SHOWN: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("overview", "Servers by status (stat)"): [{"up": "1", "late": "2", "down": "3", "other": "4"}],
    ("overview", "Alerts firing by severity (stat)"): [
        {"critical": "1", "warning": "2", "info": "0"}
    ],
    ("overview", "Firing alerts (table)"): [
        {"server_id": "c", "rule": "cpu_usage", "severity": "critical", "firing": "1"},
        {"server_id": "b", "rule": "disk_usage", "severity": "warning", "firing": "1"},
        {"server_id": "b", "rule": "cpu_usage", "severity": "warning", "firing": "1"},
    ],
    ("overview", "Least complete (stat)"): [{"Value": "88"}],
    ("overview", "Busiest CPUs (table)"): [
        {"server_id": "a", "_value": "70"}, {"server_id": "b", "_value": "20"}
    ],
    ("overview", "Fullest memory (table)"): [
        {"server_id": "b", "_value": "52"}, {"server_id": "a", "_value": "42"}
    ],
    ("overview", "Fullest disks (table)"): [
        {"server_id": "a", "mount": "/srv", "_value": "74"},
        {"server_id": "a", "mount": "/", "_value": "63"},
        {"server_id": "b", "mount": "/", "_value": "35"},
    ],
    ("pipeline-health", "Samples taken (stat)"): [{"Value": "12"}],
    ("pipeline-health", "Journal has room for (stat)"): [{"Value": "700"}],
    ("pipeline-health", "Notifications waiting (stat)"): [{"Value": "3"}],
    ("pipeline-health", "Agents by version (table)"): [
        {"agent_version": "0.2.0", "_value": "2"}, {"agent_version": "0.1.0", "_value": "1"}
    ],
    ("pipeline-health", "Backups (table)"): [
        {"kind": "state", "age_seconds": "3600", "bytes": "1000", "verified": "1"}
    ],
    ("pipeline-health", "Certificates (table)"): [{"name": "server", "days_left": "33"}],
    ("server-detail", "CPU (stat)"): [{"Value": "80"}],
    ("server-detail", "Memory (stat)"): [{"Value": "41"}],
    ("server-detail", "Fullest mount (stat)"): [{"Value": "74"}],
    ("server-detail", "Uptime (stat)"): [{"Value": "5000"}],
    ("server-detail", "Load per core (stat)"): [{"Value": "0.5"}],
    ("server-detail", "Disk use per mount (timeseries)"): [
        {"mount": "/", "Value": "63"}, {"mount": "/srv", "Value": "74"}
    ],
    ("server-detail", "Memory (timeseries)"): [{"used_bytes": "4300"}, {"used_bytes": "4100"}],
    ("alerts", "Noisiest rules (table)"): [
        {"rule": "cpu_usage", "begun": "3"}, {"rule": "disk_usage", "begun": "2"}
    ],
}  # fmt: skip


@pytest.fixture(scope="session")
def known(influxd: Influxd) -> dict[str, tuple[View, Dashboard]]:
    """Give each dashboard, opened over an hour in which these values lie."""
    for name in (RAW, ROLLUP):
        influxd.bucket(name)
    end_ms = time.time_ns() // 1_000_000
    for lines, ago in ((EARLIER, EARLIER_MS), (NOW, NOW_MS)):
        influxd.write(RAW, "\n".join(f"{line} {end_ms - ago}" for line in lines))
    source = FluxDataSource(influxd.url, data_source_token(influxd, RAW, ROLLUP))
    return {
        one.name.removeprefix("hostpulse-"): (View(source, one, HOUR_MS, end_ms), one)
        for one in adapted(influxd, RAW, ROLLUP)
    }


@pytest.mark.parametrize(("dashboard", "panel"), SHOWN)
def test_a_panel_shows_what_is_known(
    known: dict[str, tuple[View, Dashboard]], dashboard: str, panel: str
) -> None:
    """Each row of each frame with a value in it, with its labels."""
    view, document = known[dashboard]
    (question,) = dict(document.asking())[panel]
    found = [
        {**frame.labels, **row}
        for frame in view.frames(question)
        for row in _rows([(one.name, one.values) for one in frame.columns if not one.is_time])
    ]
    assert found == SHOWN[dashboard, panel]


def _rows(columns: list[tuple[str, list[Any]]]) -> list[dict[str, Any]]:
    names = [name for name, _ in columns]
    rows = zip(*(values for _, values in columns), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows if any(row)]
