"""What the overview says fires, as alerts begin and end."""

from __future__ import annotations

import csv
import io
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
CHOSEN: list[str] = ["web-01", "web-02"]
CPU = "rule=cpu_usage,server_id=web-01,severity"
NONE = {"critical": "0", "warning": "0", "info": "0"}
DISK = "rule=disk_usage,server_id=web-01,severity"
# transitions (series, change, minutes ago; -1 of what fires is of an alert that has another
# severity from then on), and what of them fires: times by rule, by severity
CASES: dict[str, tuple[list[tuple[str, int, int]], dict[str, str], dict[str, str]]] = {
    "nothing ever did": ([], {}, {}),
    "it began": (
        [(f"{CPU}=warning,state=firing", 1, 5)],
        {"cpu_usage warning": "1"},
        {"warning": "1"},
    ),
    "it got worse": (
        [
            (f"{CPU}=warning,state=firing", 1, 9),
            (f"{CPU}=warning,state=firing", -1, 5),
            (f"{CPU}=critical,state=firing", 1, 5),
        ],
        {"cpu_usage critical": "1"},
        {"critical": "1"},
    ),
    "it began long ago and got worse": (
        [
            (f"{CPU}=warning,state=firing", 1, 9000),
            (f"{CPU}=warning,state=firing", -1, 5),
            (f"{CPU}=critical,state=firing", 1, 5),
        ],
        {"cpu_usage critical": "1"},
        {"critical": "1"},
    ),
    "it began long ago and ended": (
        [(f"{CPU}=warning,state=firing", 1, 9000), (f"{CPU}=warning,state=resolved", -1, 5)],
        {},
        {},
    ),
    "all of it ended": (
        [(f"{CPU}=warning,state=firing", 1, 9), (f"{CPU}=warning,state=resolved", -1, 5)],
        {},
        {},
    ),
    "twice on a server": (
        [(f"{CPU}=warning,state=firing", 1, 9), (f"{CPU}=warning,state=firing", 1, 5)],
        {"cpu_usage warning": "2"},
        {"warning": "2"},
    ),
    "a mount before another": (
        [(f"{DISK}=critical,state=firing", 1, 20), (f"{DISK}=warning,state=firing", 1, 10)],
        {"disk_usage critical": "1", "disk_usage warning": "1"},
        {"critical": "1", "warning": "1"},
    ),
    "of two mounts one got worse and ended": (
        [
            (f"{DISK}=warning,state=firing", 1, 9000),
            (f"{DISK}=warning,state=firing", 1, 30),
            (f"{DISK}=warning,state=firing", -1, 20),
            (f"{DISK}=critical,state=firing", 1, 20),
            (f"{DISK}=critical,state=resolved", -1, 5),
        ],
        {"disk_usage warning": "1"},
        {"warning": "1"},
    ),
    "of hostpulse itself": (
        [("rule=backup_age,severity=critical,state=firing", 1, 5)],
        {"backup_age critical": "1"},
        {"critical": "1"},
    ),
    "of a server not chosen": (
        [("rule=cpu_usage,server_id=db-01,severity=warning,state=firing", 1, 5)],
        {},
        {},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_fires_is_what_began_and_did_not_end(influxd: Influxd, case: str) -> None:
    """Of the servers chosen and of hostpulse itself; where nothing fires, that is no error."""
    transitions, rules, severities = CASES[case]
    now = time.time_ns() // 1_000_000
    names = {name: f"{name}_{case.replace(' ', '_')}" for name in (RAW, ROLLUP)}
    for name in names.values():
        influxd.bucket(name)
    for series, change, minutes in transitions:
        at = now - minutes * 60_000
        if at > now - HOUR_MS:
            has_other = change < 0 and series.endswith("state=firing")
            fields = f"change={change}" + ("" if has_other else ",duration_seconds=60")
            influxd.write(names[RAW], f"alert,{series} {fields} {at}")
        else:
            fields = f"change_sum={change},duration_seconds_last=60"
            influxd.write(names[ROLLUP], f"alert,{series} {fields} {at}")
    found = {}
    for question in OVERVIEW.questions():
        if question.owner in ("Firing alerts A", "Alerts firing by severity A"):
            flux = interpolate(question.flux, {"server": CHOSEN})
            for name, ours in names.items():
                flux = flux.replace(f'"{name}"', f'"{ours}"')
            answer = influxd.query(expand(flux, Macros(now - HOUR_MS, now, 10_000)))
            found[question.owner] = list(csv.DictReader(io.StringIO(answer.strip())))
    rows = found["Firing alerts A"]
    assert {f"{row['rule']} {row['severity']}": row["firing"] for row in rows} == rules
    (counts,) = found["Alerts firing by severity A"]
    assert {name: counts[name] for name in NONE} == NONE | severities
