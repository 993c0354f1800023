"""Every query of every dashboard finds something, asked through a real Grafana."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from bench.store_data import DAY_MS, HOUR_MS
from tests.dashboards import fleet, frontend, installed
from tests.dashboards.committed import Dashboard, asked_by
from tests.dashboards.installed import Page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engines.grafana.local import Grafana
    from engines.influxdb.local import Influxd

RAW, ROLLUP = "fleet_raw", "fleet_rollup"  # not the names that dashboards are written with
MANY = "fleet_many"
SERVERS = 500


@dataclass(frozen=True)
class Seen:
    """A Grafana over a fleet whose newest value is from ``end_ms``."""

    grafana: Grafana
    influxd: Influxd
    ids: dict[str, str]
    end_ms: int


# of the session: a module's is made anew when tests of another came between, in the same influxd
@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory, influxd: Influxd) -> Iterator[Seen]:
    """Give it, provisioned by the role's templates, with bucket names of its own."""
    ids = {name: influxd.bucket(name) for name in (RAW, ROLLUP, MANY)}
    end_ms = time.time_ns() // 1_000_000
    fleet.write(influxd, RAW, ROLLUP, end_ms)
    with installed.start(tmp_path_factory.mktemp("role"), influxd, RAW, ROLLUP) as grafana:
        yield Seen(grafana, influxd, ids, end_ms)


def faults(seen: Seen, span_ms: int, source: str = installed.UID) -> Iterator[str]:
    """Yield what is empty where a dashboard is opened; a query that is refused raises."""
    for dashboard in installed.dashboards(seen.grafana):
        page = Page(seen.grafana, dashboard, span_ms, seen.end_ms, source)
        found = {one.owner: page.columns(one) for one in dashboard.questions()}
        yield from (f"{dashboard.name}: {owner}" for owner, names in found.items() if not names)
        for panel in dashboard.panels():
            names = [name for one in asked_by(panel) for name in found[one.owner]]
            for override in panel["fieldConfig"]["overrides"]:
                if not any(frontend.matches(override["matcher"], name) for name in names):
                    what = override["matcher"]["options"]
                    yield f"{dashboard.name}: {panel['title']}: {what} not among {set(names)}"


@pytest.mark.parametrize("hours", [1, 6, 24])
def test_every_query_finds_something_among_raw_values(seen: Seen, hours: int) -> None:
    """Of the panels, variables and annotations; and every column that a panel names."""
    assert list(faults(seen, hours * HOUR_MS)) == []


def test_a_month_reads_rollups_only(seen: Seen) -> None:
    """A token that reads nothing else is enough for every query."""
    installed.further_source(
        seen.grafana, "rollups-only", seen.influxd.token(read=[seen.ids[ROLLUP]])
    )
    assert list(faults(seen, 30 * DAY_MS, "rollups-only")) == []


def test_five_hundred_servers_can_be_chosen_at_once(seen: Seen) -> None:
    """The variable lists each of them, and a panel shows each."""
    fleet.write_servers(seen.influxd, MANY, SERVERS, seen.end_ms)
    token = seen.influxd.token(read=[seen.ids[MANY], seen.ids[ROLLUP]])
    installed.further_source(seen.grafana, "many", token)
    (overview,) = (
        Dashboard.of(one.name, one.text.replace(RAW, MANY))
        for one in installed.dashboards(seen.grafana)
        if one.name == "hostpulse-overview"
    )
    page = Page(seen.grafana, overview, HOUR_MS, seen.end_ms, "many")
    assert len(page.variables["server"]) == SERVERS
    shown = {one.owner: page.columns(one) for one in overview.questions()}
    for panel in ("CPU", "Memory"):
        assert shown[f"{panel} of all servers A"].count("Value") == SERVERS
    assert "server_id" in shown["Fleet A"]
