"""How long InfluxDB takes for every query of every dashboard, with 50 hosts.

``python -m bench.dashboards [--rounds N]``: asks a real influxd on loopback what Grafana would ask
it. Cold is the first query after influxd was started with its files out of the page cache. Spans of
more than a day are asked with a token that reads rollups only. A query that finds nothing ends the
run. Exit status 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from bench import store_history
from bench.report import Row, save, table
from bench.store_data import DAY_MS
from bench.store_files import forget
from engines.influxdb.local import ORG
from tests.dashboards import frontend
from tests.dashboards.committed import dashboards
from tests.e2e.influx import RAW, ROLLUP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.store_history import History
    from tests.dashboards.committed import Dashboard, Question

RESULTS = Path(__file__).resolve().parent / "results"
SPANS = {"1 day": DAY_MS, "7 days": 7 * DAY_MS, "30 days": 30 * DAY_MS}
BAR_MS = 300.0
BARRED = "overview, 7 days,"
WARM_RUNS = 3
PATIENCE_SECONDS = 60.0


class Asker:
    """Asks an influxd as Grafana does, about one span."""

    def __init__(self, history: History, span_ms: int) -> None:
        self.influxd = history.influxd
        self.stop_ms = history.end_ms
        self.span_ms = span_ms
        self.variables: dict[str, str | list[str]] = {}
        kept = (ROLLUP,) if span_ms > DAY_MS else (RAW, ROLLUP)
        self._token = self.influxd.token(read=[self._bucket(name) for name in kept])

    def choose(self, dashboard: Dashboard) -> None:
        """Set variables as they are when a dashboard is opened: all, or the first there is."""
        self.variables = {"datasource": "hostpulse"}
        for one in dashboard.variables():
            if one["type"] == "query":
                found = self.rows(self.flux(one["query"], 1))
                values = sorted(row.rpartition(",")[2] for row in found)
                choice = frontend.ALL if one["includeAll"] else values[0]
                self.variables[one["name"]] = frontend.chosen(one, values, choice)

    def ask(self, question: Question, rounds: int) -> tuple[float, float]:
        """Return milliseconds cold and warm; raise RuntimeError where nothing is found."""
        points = question.points or 1
        every = frontend.interval_ms(self.span_ms, points, question.interval_ms)
        flux = self.flux(question.flux, every)
        cold, warm = [], []
        for _ in range(rounds):
            self.influxd.stop()
            forget(self.influxd.directory)
            self.influxd.resume()
            cold.append(self._timed(flux))
            warm += [self._timed(flux) for _ in range(WARM_RUNS)]
        return statistics.median(cold), statistics.median(warm)

    def flux(self, text: str, every_ms: int) -> str:
        """Return a query as InfluxDB gets it."""
        filled = frontend.filled(text, self.variables)
        start = self.stop_ms - self.span_ms
        return frontend.timed(filled, start, self.stop_ms, every_ms, self.stop_ms)

    def rows(self, flux: str) -> list[str]:
        """Return the rows of all tables."""
        answer = requests.post(
            f"{self.influxd.url}/api/v2/query?org={ORG}",
            json={"query": flux, "type": "flux"},
            headers={"Authorization": f"Token {self._token}"},
            timeout=PATIENCE_SECONDS,
        )
        if answer.status_code != requests.codes.ok:
            raise RuntimeError(f"{answer.status_code} {answer.text[:500]} to\n{flux}")
        lines = answer.text.split("\r\n")
        return [line for line in lines if line and not line.startswith(",result,table")]

    def _timed(self, flux: str) -> float:
        began = time.perf_counter()
        found = self.rows(flux)
        took = (time.perf_counter() - began) * 1000
        if not found:
            raise RuntimeError(f"nothing is found by\n{flux}")
        return took

    def _bucket(self, name: str) -> str:
        return str(self.influxd.call("GET", f"/api/v2/buckets?name={name}")["buckets"][0]["id"])


def measure(history: History, rounds: int, only: str) -> Iterator[tuple[str, float, float]]:
    """Yield of each query its name, and its time cold and warm."""
    for span, length in SPANS.items():
        asker = Asker(history, length)
        for dashboard in dashboards():
            if only in dashboard.name:
                asker.choose(dashboard)
                for question in dashboard.questions():
                    name = f"{dashboard.name.removeprefix('hostpulse-')}, {span}, {question.owner}"
                    yield name, *asker.ask(question, rounds)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.dashboards", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each query; medians count")
    parser.add_argument("--only", default="", help="dashboards whose name has this in it")
    parser.add_argument("--json", type=Path, default=RESULTS / "dashboards.json", metavar="FILE")
    options = parser.parse_args()
    load, cores = os.getloadavg()[0], os.cpu_count()
    rows: list[Row] = []
    every: dict[str, Any] = {}
    with store_history.opened() as history:
        for name, cold, warm in measure(history, options.rounds, options.only):
            bar = BAR_MS if name.startswith(BARRED) else None
            rows.append(Row(f"{name}, cold", cold, "ms", bar))
            every[name] = {"cold": cold, "warm": warm}
    print(table(f"queries of dashboards ({cores} cores, load {load:.1f} before)", rows))
    save(options.json, {"cores": cores, "load_before": load, **every})
    print(f"as JSON: {options.json}")
    return 0 if all(row.held for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
