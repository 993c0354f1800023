"""Every query of every dashboard finds something in a real influxd."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from bench.store_data import DAY_MS, HOUR_MS
from tests.dashboards import fleet, installed
from tests.dashboards.annotated_csv import QueryError
from tests.dashboards.committed import Dashboard, asked_by, overrides
from tests.dashboards.datasource import FluxDataSource, View
from tests.dashboards.role import adapted, data_source_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.influxdb.local import Influxd

RAW, ROLLUP = "fleet_raw", "fleet_rollup"  # not the names that dashboards are written with
MANY = "fleet_many"
SERVERS = 500


@dataclass(frozen=True)
class Estate:
    """An influxd with a fleet whose newest value is from ``end_ms``, and the dashboards over it."""

    influxd: Influxd
    ids: dict[str, str]
    end_ms: int
    dashboards: list[Dashboard]
    token: str

    def view(self, dashboard: Dashboard, span_ms: int, token: str = "") -> View:
        """Open a dashboard with Grafana's token, or another."""
        source = FluxDataSource(self.influxd.url, token or self.token)
        return View(source, dashboard, span_ms, self.end_ms)


# of the session: a module's is made anew when tests of another came between, in the same influxd
@pytest.fixture(scope="session")
def estate(influxd: Influxd) -> Estate:
    """Give it, with the dashboards as the role writes them for buckets of these names."""
    ids = {name: influxd.bucket(name) for name in (RAW, ROLLUP, MANY)}
    end_ms = time.time_ns() // 1_000_000
    fleet.write(influxd, RAW, ROLLUP, end_ms)
    boards = adapted(influxd, RAW, ROLLUP)
    return Estate(influxd, ids, end_ms, boards, data_source_token(influxd, RAW, ROLLUP))


def faults(view: View, dashboard: Dashboard) -> Iterator[str]:
    """Yield what is empty in a dashboard, and the overrides of columns that no query gives."""
    found = {one.owner: view.columns(one) for one in dashboard.questions()}
    yield from (f"{dashboard.name}: {owner}" for owner, names in found.items() if not names)
    for panel in dashboard.panels():
        names = [name for one in asked_by(panel) for name in found[one.owner]]
        for override in panel["fieldConfig"]["overrides"]:
            if not any(overrides(override["matcher"], name) for name in names):
                what = override["matcher"]["options"]
                yield f"{dashboard.name}: {panel['title']}: {what} not among {set(names)}"


@pytest.mark.parametrize("hours", [1, 6, 24])
def test_every_query_finds_something_among_raw_values(estate: Estate, hours: int) -> None:
    """Of the panels, variables and annotations; and every column that a panel names."""
    boards = ((estate.view(one, hours * HOUR_MS), one) for one in estate.dashboards)
    assert [fault for view, one in boards for fault in faults(view, one)] == []


def test_a_month_reads_rollups_only(estate: Estate) -> None:
    """A token that reads nothing else is enough for every query."""
    token = estate.influxd.token(read=[estate.ids[ROLLUP]])
    boards = ((estate.view(one, 30 * DAY_MS, token), one) for one in estate.dashboards)
    assert [fault for view, one in boards for fault in faults(view, one)] == []


def test_five_hundred_servers_can_be_selected_at_once(estate: Estate) -> None:
    """The variable lists each of them, and a panel shows each."""
    fleet.write_servers(estate.influxd, MANY, SERVERS, estate.end_ms)
    token = estate.influxd.token(read=[estate.ids[MANY], estate.ids[ROLLUP]])
    overview = Dashboard.of("overview", board(estate, "overview").text.replace(RAW, MANY))
    view = estate.view(overview, HOUR_MS, token)
    servers = view.variables["server"]
    assert isinstance(servers, list)
    assert len(servers) == SERVERS
    shown = {one.owner: view.columns(one) for one in overview.questions()}
    for panel in ("CPU", "Memory"):
        assert shown[f"{panel} of all servers A"].count("Value") == SERVERS
    assert "server_id" in shown["Fleet A"]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"cpu"', '"cpus"', "Busiest CPUs A"),
        ("version", "versions", "Fleet: version not among"),
    ],
    ids=["no such measurement", "no such column"],
)
def test_a_query_that_finds_nothing_is_a_fault(
    estate: Estate, old: str, new: str, fault: str
) -> None:
    """As is a column that goes by another name than the panel's override."""
    document = json.loads(board(estate, "overview").text)
    for target in (target for panel in document["panels"] for target in panel.get("targets", [])):
        target["query"] = target["query"].replace(old, new)
    spoilt = Dashboard.of("overview", json.dumps(document))
    assert any(fault in one for one in faults(estate.view(spoilt, HOUR_MS), spoilt))


def test_a_query_that_influxdb_refuses_is_an_error_with_its_words(estate: Estate) -> None:
    """Not an empty frame."""
    spoilt = Dashboard.of("overview", board(estate, "overview").text.replace("last()", "newest()"))
    view = estate.view(board(estate, "overview"), HOUR_MS)
    with pytest.raises(QueryError, match="undefined identifier newest"):
        list(faults(view, spoilt))


@pytest.mark.grafana
def test_grafana_shows_the_columns_that_are_found_without_it(
    estate: Estate, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Variables, macros and frames are what they are there; times may go by another name."""
    folder = tmp_path_factory.mktemp("role")
    with installed.start(folder, estate.influxd, RAW, ROLLUP) as grafana:
        source = installed.GrafanaDataSource(grafana)
        for one in installed.dashboards(grafana):
            ours, real = estate.view(one, HOUR_MS), View(source, one, HOUR_MS, estate.end_ms)
            assert real.variables == ours.variables
            for question in one.questions():
                ours_shown, real_shown = (_values(view.columns(question)) for view in (ours, real))
                assert real_shown == ours_shown, f"{one.name}: {question.owner}"


def _values(columns: list[str]) -> Counter[str]:
    return Counter(name for name in columns if name not in {"Time", "_time"})


def board(estate: Estate, name: str) -> Dashboard:
    """Return a dashboard by the end of its name."""
    (found,) = (one for one in estate.dashboards if one.name == f"hostpulse-{name}")
    return found
