"""That a server is one server, whatever its labels were and whatever its name looks like."""

from __future__ import annotations

import csv
import io
import time
from typing import TYPE_CHECKING

import pytest
from tests.dashboards.committed import dashboards
from tests.dashboards.interpolation import Macros, expand, interpolate
from tests.e2e.influx import RAW

if TYPE_CHECKING:
    from testbed.influxdb.local import Influxd

QUESTIONS = {one.owner: one.flux for board in dashboards() for one in board.questions()}
HOUR_MS = 3_600_000
MINUTE_MS = 60_000


def asked(influxd: Influxd, owner: str, lines: list[str], servers: list[str]) -> list[str]:
    """Return the values (with whose they are) that a panel finds in these lines."""
    now = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS
    bucket = f"{RAW}_{owner.replace(' ', '_')}"
    influxd.bucket(bucket)
    for number, line in enumerate(lines):
        influxd.write(bucket, f"{line} {now - (len(lines) - number) * 10_000}")
    flux = interpolate(QUESTIONS[owner], {"server": servers})
    flux = flux.replace(f'"{RAW}"', f'"{bucket}"')
    answer = influxd.query(expand(flux, Macros(now - HOUR_MS, now, MINUTE_MS)))
    rows = csv.DictReader(io.StringIO(answer.strip()))
    return [
        f"{row.get('server_id') or ''} {row['_value']}".strip() for row in rows if row["_value"]
    ]


@pytest.mark.parametrize(
    ("owner", "field", "found"),
    [
        ("Least complete A", "completeness_percent", ["80"]),
        ("Least complete servers A", "completeness_percent", ["web-01 80"]),
        ("Clocks A", "clock_offset_ms", ["web-01 80"]),
        ("Alerts firing on servers A", "alerts_firing", ["80"]),
    ],
)
def test_a_server_with_another_agent_is_no_other_server(
    influxd: Influxd, owner: str, field: str, found: list[str]
) -> None:
    """The version is a tag: what the old agent's series said last counts no more."""
    tags = "env=prod,server_id=web-01"
    lines = [
        f"server,agent_version=1.0,{tags} {field}=7",
        f"server,agent_version=1.1,{tags} {field}=80",
    ]
    assert asked(influxd, owner, lines, ["web-01"]) == found


def test_a_dot_in_a_servers_name_is_a_dot(influxd: Influxd) -> None:
    """Only those with the worst status are shown over time, not those with a name like theirs."""
    lines = [f"server,server_id=b{number:02} status=2" for number in range(49)]
    lines += ["server,server_id=webx01 status=0", "server,server_id=web.01 status=1"]
    servers = [line.split()[0].partition("server_id=")[2] for line in lines]
    found = asked(influxd, "Status of servers A", lines, servers)
    assert {"web.01 1"} == {one for one in found if one.startswith("web")}
