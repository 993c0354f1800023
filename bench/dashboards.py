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

from bench import store_history
from bench.report import Row, insert, save, table
from bench.store_data import DAY_MS
from bench.store_files import forget
from tests.dashboards.annotated_csv import tables
from tests.dashboards.committed import dashboards
from tests.dashboards.datasource import FluxDataSource, View
from tests.e2e.influx import RAW, ROLLUP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.store_history import History
    from tests.dashboards.committed import Dashboard, Question
    from tests.dashboards.datasource import Query

RESULTS = Path(__file__).resolve().parent / "results"
SPANS = {"1 day": DAY_MS, "7 days": 7 * DAY_MS, "30 days": 30 * DAY_MS}
BAR_MS = 300.0
BARRED = ("hostpulse-overview", "7 days")
WARM_RUNS = 3


class Timer:
    """Times what a dashboard asks about one span, up to the end of a history."""

    def __init__(self, history: History, span_ms: int) -> None:
        self.influxd = history.influxd
        self.stop_ms = history.end_ms
        self.span_ms = span_ms
        kept = (ROLLUP,) if span_ms > DAY_MS else (RAW, ROLLUP)
        token = self.influxd.token(read=[self._bucket(name) for name in kept])
        self._source = FluxDataSource(self.influxd.url, token, now_ms=self.stop_ms)

    def view(self, dashboard: Dashboard) -> View:
        """Open a dashboard."""
        return View(self._source, dashboard, self.span_ms, self.stop_ms)

    def time(self, view: View, question: Question, rounds: int) -> tuple[float, float]:
        """Return milliseconds cold and warm; raise RuntimeError where nothing is found."""
        query = view.query(question)
        cold, warm = [], []
        for _ in range(rounds):
            self.influxd.stop()
            forget(self.influxd.directory)
            self.influxd.resume()
            cold.append(self._timed(query))
            warm += [self._timed(query) for _ in range(WARM_RUNS)]
        return statistics.median(cold), statistics.median(warm)

    def _timed(self, query: Query) -> float:
        began = time.perf_counter()
        answer = self._source.post(query)
        took = (time.perf_counter() - began) * 1000
        if next(tables(answer), None) is None:
            raise RuntimeError(f"nothing is found by\n{query.flux}")
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
        timer = Timer(history, length)
        for dashboard in dashboards():
            if only in dashboard.name:
                view = timer.view(dashboard)
                for owner, questions in dashboard.asking():
                    times = [timer.time(view, question, rounds) for question in questions]
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
