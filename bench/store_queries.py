"""How long the api takes for what an overview of 50 hosts and one host's page show.

Cold is the first query after influxd was started with its files out of the page cache; warm is
the median of those that follow it. Each is a request to ``GET /api/v1/metrics`` as its caller sees
it.
"""

from __future__ import annotations

import statistics
import time
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import requests
from bench.report import Row
from bench.store_data import DAY_MS, HOUR_MS, WINDOW_MS, host_name
from bench.store_files import forget
from bench.store_history import HOSTS, RAW_DAYS, ROLLUP_DAYS, History
from tests.e2e.services import Site

from hostpulse_server.journal import Entry
from hostpulse_server.shipper.cursor import JournalCursor
from hostpulse_server.shipper.deliveries import Delivery
from hostpulse_server.shipper.state import ShipperState
from hostpulse_server.values.points import StorePoint

if TYPE_CHECKING:
    from pathlib import Path

BAR_MS = 300.0
WARM_RUNS = 5
PATIENCE_SECONDS = 60.0
SPANS = {"1 hour": HOUR_MS, "7 days": RAW_DAYS * DAY_MS, "30 days": ROLLUP_DAYS * DAY_MS}
OVERVIEW = {
    "CPU": "measurement=cpu&field=usage_percent&tag.core=total",
    "memory": "measurement=memory&field=used_percent",
    "worst disk": "measurement=disk&field=used_percent&aggregate=max",
    "status": "measurement=server&field=status&aggregate=last",
    "completeness": "measurement=server&field=completeness_percent&aggregate=min",
}
DETAIL = {
    name: f"measurement={name}&server_id={host_name(0)}"
    for name in (
        *("cpu", "system", "memory", "swap", "disk", "diskio", "network", "connections"),
        *("pressure", "kernel", "agent", "server"),
    )
}


class Took(NamedTuple):
    """Milliseconds of one query."""

    cold: float
    warm: float


def measure(folder: Path, history: History, rounds: int) -> tuple[list[Row], dict[str, Took]]:
    """Ask everything; return rows for the table and every query's times."""
    site = make_site(folder, history)
    key = site.reader_key()
    took: dict[str, Took] = {}
    with site.running("api"):
        site.await_api()
        # the api loads what it asks with at its first question, once in its life
        timed(site, f"/api/v1/metrics?{OVERVIEW['CPU']}&start={history.end_ms - HOUR_MS}", key)
        for span, length in SPANS.items():
            when = f"start={history.end_ms - length}&end={history.end_ms}"
            for page, queries in (("overview", OVERVIEW), ("detail", DETAIL)):
                for name, query in queries.items():
                    path = f"/api/v1/metrics?{query}&{when}"
                    runs = [ask(site, history, path, key) for _ in range(rounds)]
                    took[f"{page}, {span}, {name}"] = Took(
                        statistics.median(run.cold for run in runs),
                        statistics.median(run.warm for run in runs),
                    )
    return rows(took), took


def rows(took: dict[str, Took]) -> list[Row]:
    """Return each query of the overview, and the slowest of one host's page, a span."""
    found = []
    for span in SPANS:
        shown = [name for name in took if name.startswith(f"overview, {span},")]
        detail = [name for name in took if name.startswith(f"detail, {span},")]
        for kind in Took._fields:
            found += [
                Row(f"{name}, {kind}", getattr(took[name], kind), "ms", BAR_MS) for name in shown
            ]
            slowest = max(detail, key=lambda name: float(getattr(took[name], kind)))
            found.append(
                Row(f"{slowest} (the slowest), {kind}", getattr(took[slowest], kind), "ms", BAR_MS)
            )
    return found


def ask(site: Site, history: History, path: str, key: str) -> Took:
    """Return how long a query takes just after a cold start, and then."""
    history.influxd.stop()
    forget(history.influxd.directory)
    history.influxd.resume()
    cold = timed(site, path, key)
    return Took(cold, statistics.median(timed(site, path, key) for _ in range(WARM_RUNS)))


def timed(site: Site, path: str, key: str) -> float:
    """Return a request's milliseconds; raise RuntimeError for another answer than data."""
    began = time.perf_counter()
    answer = requests.get(site.url + path, headers={"X-API-Key": key}, timeout=PATIENCE_SECONDS)
    took = (time.perf_counter() - began) * 1000
    if answer.status_code != requests.codes.ok or not answer.json()["series"]:
        raise RuntimeError(f"{path}: {answer.status_code} {answer.text[:200]}")
    return took


def make_site(folder: Path, history: History) -> Site:
    """Make a server in front of the history, whose last window is not rolled up yet."""
    token = folder / "influxdb_query_token"
    token.touch(0o600)
    token.write_text(history.query_token)
    site = Site.make(
        folder,
        # what was made some days ago is to be within retention
        f'[retention]\nraw = "3650d"\nrollup = "3650d"\n[store]\nkind = "influxdb"\n'
        f'[store.influxdb]\nurl = "{history.influxd.url}"\nquery_token_file = "{token}"\n',
    )
    site.register(map(host_name, range(HOSTS)))
    last = history.end_ms - WINDOW_MS
    points = [
        StorePoint(host_name(host), "system", (), last, {"load1": 1.0}) for host in range(HOSTS)
    ]
    with closing(ShipperState(site.config.paths.shipper, WINDOW_MS)) as shipper_state:
        delivery = Delivery(Entry(1, "internal", last, b""), points)
        shipper_state.commit("bench", JournalCursor(1), [delivery], at_ms=last)
    return site
