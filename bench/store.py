"""The production store: how fast the shipper fills it, how fast it answers, what it takes on disk.

``python -m bench.store [--only ship|queries|size]``: starts real influxds on loopback. Shipping is
a ratio against bare loops over influxdb-client in the same run. Times of queries are absolute: on a
machine that is slow or busy they say little, so the table names its cores and load. Exit status 1
when a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import store_history, store_queries, store_ship, store_size
from bench.report import Row, save, table

RESULTS = Path(__file__).resolve().parent / "results"
TITLES = {
    "ship": "from a full journal into InfluxDB",
    "queries": "GET /api/v1/metrics, 50 hosts",
    "size": "on disk, compacted, of hosts that send 21 points with 134 fields each 10 s",
}


def run(part: str, folder: Path, options: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    """Run one part; return its table and what else goes into the JSON."""
    if part == "ship":
        return store_ship.measure(folder, options.samples, options.rounds), {}
    if part == "size":
        return store_size.measure(folder), {}
    with store_history.opened() as history:
        rows, took = store_queries.measure(folder, history, options.rounds)
    return rows, {"all": {name: one._asdict() for name, one in took.items()}}


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.store", description=__doc__)
    parser.add_argument("--only", choices=TITLES, help="one part instead of all")
    parser.add_argument("--samples", type=int, default=5000, help="to ship, of 21 points each")
    parser.add_argument("--rounds", type=int, default=3, help="of each trial; medians count")
    parser.add_argument("--json", type=Path, default=RESULTS / "store.json", metavar="FILE")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    figures: dict[str, Any] = {}
    held = True
    with tempfile.TemporaryDirectory(prefix="hostpulse-bench-") as name:
        for part in [options.only] if options.only else TITLES:
            load, cores = os.getloadavg()[0], os.cpu_count()
            folder = Path(name) / part
            folder.mkdir()
            rows, more = run(part, folder, options)
            print(table(f"{TITLES[part]} ({cores} cores, load {load:.1f} before)", rows))
            measured = {row.name: row.value for row in rows}
            figures[part] = {"cores": cores, "load_before": load, **measured, **more}
            held = held and all(row.held for row in rows)
    save(options.json, figures)
    print(f"as JSON: {options.json}")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
