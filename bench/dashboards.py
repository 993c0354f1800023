"""How long InfluxDB takes for every panel, variable and annotation of every dashboard.

``python -m bench.dashboards [--rounds N] [--markdown FILE]``: asks a real influxd on loopback what
Grafana would ask it. Cold is the first query after influxd was started with its files out of the
page cache; a panel's time is that of its queries one after the other. Spans of more than a day are
asked with a token that reads rollups only. A query that finds nothing ends the run. Exit status 1
when a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import requests
from bench import store_history
from bench.report import Row, insert, save, table
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
BARRED = ("hostpulse-overview", "7 days")
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


class Took(NamedTuple):
    """What a panel, variable or annotation took in a span, in ms."""

    dashboard: str
    span: str
    owner: str
    cold: float
    warm: float

    @property
    def name(self) -> str:
        """Return what it is called in a table."""
        return f"{self.dashboard}, {self.span}, {self.owner}"

    @property
    def bar(self) -> float | None:
        """Return what cold may be at most, if anything."""
        return BAR_MS if (self.dashboard, self.span) == BARRED else None


def measure(history: History, rounds: int, only: str) -> Iterator[Took]:
    """Yield the times of all that asks something."""
    for span, length in SPANS.items():
        asker = Asker(history, length)
        for dashboard in dashboards():
            if only in dashboard.name:
                asker.choose(dashboard)
                for owner, questions in dashboard.asking():
                    times = [asker.ask(question, rounds) for question in questions]
                    cold, warm = (sum(column) for column in zip(*times, strict=True))
                    yield Took(dashboard.name, span, owner, cold, warm)


def markdown(found: list[Took], about: str) -> str:
    """Return the times as tables, one a dashboard."""
    lines = [about]
    for name in dict.fromkeys(one.dashboard for one in found):
        times = {(one.owner, one.span): one for one in found if one.dashboard == name}
        lines += [
            "",
            f"### {name}",
            "",
            f"| | {' | '.join(SPANS)} |",
            "|---|" + "--:|" * len(SPANS),
        ]
        for owner in dict.fromkeys(owner for owner, _ in times):
            cells = [f"{times[owner, span].cold:.0f}" for span in SPANS]
            lines.append(f"| {owner} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.dashboards", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each query; medians count")
    parser.add_argument("--only", default="", help="dashboards whose name has this in it")
    parser.add_argument("--json", type=Path, default=RESULTS / "dashboards.json", metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="whose tables are replaced")
    options = parser.parse_args()
    if options.only and options.markdown:
        parser.error("--markdown is of all dashboards")
    before, cores = os.getloadavg()[0], os.cpu_count()
    with store_history.opened() as history:
        found = list(measure(history, options.rounds, options.only))
    load = f"load {before:.1f} before, {os.getloadavg()[0]:.1f} after"
    rows = [Row(f"{one.name}, cold", one.cold, "ms", one.bar) for one in found]
    print(table(f"panels of dashboards ({cores} cores, {load})", rows))
    every = {one.name: {"cold": one.cold, "warm": one.warm} for one in found}
    save(options.json, {"cores": cores, "load_before": before, **every})
    print(f"as JSON: {options.json}")
    if options.markdown:
        worst = max((one.cold, one.owner) for one in found if one.bar)
        about = (
            f"Milliseconds, cold, the median of {options.rounds}, on {cores} cores ({load}).\n"
            f"Of the overview over 7 days, {worst[1]} was slowest: {worst[0]:.0f} ms of the"
            f" {BAR_MS:.0f} that it may take."
        )
        insert(options.markdown, "dashboards", markdown(found, about))
    return 0 if all(row.held for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
