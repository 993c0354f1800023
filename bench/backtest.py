"""What ``rules backtest`` takes: a comparison of two small files, and the rules that ship.

``python -m bench.backtest [--hosts 5] [--days 7] [--json FILE]``: an embedded store with what the
shipped rules look at, every 10 s, of hosts that have trouble once a day; the command runs as people
run it. Times are those of 50 hosts over 7 days: what was measured, times how much more that is
(``--hosts 50`` measures it whole and writes 2.3 GB). Exit status 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import closing
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter, time
from typing import TYPE_CHECKING, Final

from bench.report import Row, save, table

from hostpulse_server.store.embedded import EmbeddedStore
from hostpulse_server.values.points import StorePoint

if TYPE_CHECKING:
    from collections.abc import Iterator

BAR_COMPARED_SECONDS = 60.0
BAR_PACK_SECONDS = 300.0
_PACK = Path(__file__).parents[1] / "roles/hostpulse_server/files/rules/hostpulse.yml"
_PROGRAM = Path(sysconfig.get_path("scripts")) / "hostpulse-server"
_DAY_MS = 86_400_000
_INTERVAL_MS = 10_000
_BATCH = 30  # samples of a host
_TROUBLED: Final = 360  # samples of a day: an hour
_LEVELS = "levels: {warning: {above: %d}, critical: {above: %d}}"
_RULES = """\
rules:
  - {name: cpu, measurement: cpu, field: usage_percent, where: {core: total}, for: 5m, %s}
  - {name: memory, measurement: memory, field: used_percent, for: 5m, %s}
  - {name: disk, measurement: disk, field: used_percent, over: 1m, %s}
"""
# measurement, tags, fields that are 0 or more while well, fields that are 0 then
_SERIES: Final = (
    ("cpu", (("core", "total"),), ("usage_percent",), ()),
    ("memory", (), ("used_percent",), ()),
    *(
        ("disk", (("mount", mount),), ("used_percent", "inodes_used_percent"), ("readonly", "hung"))
        for mount in ("/", "/boot", "/srv")
    ),
    ("kernel", (), ("conntrack_percent", "open_files_percent"), ("oom_kills_total",)),
    ("system", (), ("uptime_seconds",), ("raid_degraded", "units_failed")),
    *(
        ("network", (("interface", name),), (), ("packet_loss_percent",))
        for name in ("eth0", "eth1")
    ),
    ("swap", (), ("in_bytes_per_second", "out_bytes_per_second"), ()),
    *(
        ("pressure", (("resource", name),), ("full_avg60_percent",), ())
        for name in ("cpu", "io", "memory")
    ),
    ("connections", (), (), ("tcp_listen_overflows_total",)),
    ("agent", (), ("clock_offset_ms",), ("dropped_samples",)),
)
_SUFFERING: Final = ("cpu", "memory", "disk")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=5)
    parser.add_argument("--days", type=float, default=7)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        rows = measure(Path(directory), options.hosts, options.days)
    title = f"rules backtest: {options.hosts} hosts over {options.days:g} days, as of 50 over 7"
    print(table(title, rows))
    if options.json:
        save(options.json, {row.name: row.value for row in rows})
    return 0 if all(row.held for row in rows) else 1


def measure(directory: Path, hosts: int, days: float) -> list[Row]:
    """Return the figures."""
    span_ms = round(days * _DAY_MS)
    end_ms = round(time() * 1000)
    start_ms = end_ms - span_ms + 3_600_000  # retention must not cut it while this runs
    _fill(directory, hosts, start_ms, end_ms)
    first, second = directory / "first.yml", directory / "second.yml"
    first.write_text(_RULES % (_LEVELS % (80, 95), _LEVELS % (80, 95), _LEVELS % (80, 95)))
    second.write_text(_RULES % (_LEVELS % (85, 95), _LEVELS % (80, 95), _LEVELS % (80, 97)))
    scale = 50 * 7 * _DAY_MS / (hosts * (end_ms - start_ms))
    span = ("--start", str(start_ms), "--end", str(end_ms))
    compared, compared_cpu = _seconds(directory, str(first), "--against", str(second), *span)
    pack, pack_cpu = _seconds(directory, str(_PACK), *span)
    return [
        Row("two files of three rules", compared * scale, "s", BAR_COMPARED_SECONDS),
        Row("    CPU", compared_cpu * scale, "s"),
        Row("the rules that ship", pack * scale, "s", BAR_PACK_SECONDS),
        Row("    CPU of these", pack_cpu * scale, "s"),
    ]


def _seconds(directory: Path, *arguments: str) -> tuple[float, float]:
    """Return what a backtest takes, and its seconds of CPU."""
    begun, before = perf_counter(), getrusage(RUSAGE_CHILDREN)
    _run(directory, "rules", "backtest", *arguments, "--json")
    taken, after = perf_counter() - begun, getrusage(RUSAGE_CHILDREN)
    return taken, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _run(directory: Path, *arguments: str, given: str = "") -> None:
    subprocess.run(
        [_PROGRAM, "--config", directory / "server.toml", *arguments],
        input=given,
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _fill(directory: Path, hosts: int, start_ms: int, end_ms: int) -> None:
    """Make a data directory with a registry of so many hosts, and their samples."""
    (directory / "server.toml").write_text(f'data_dir = "{directory}"\n')
    names = [f"host-{number:02}" for number in range(hosts)]
    _run(directory, "db", "upgrade")
    _run(directory, "servers", "apply", "-", given=json.dumps([{"id": name} for name in names]))
    rng = random.Random(8)  # noqa: S311 - figures, no secrets
    with closing(EmbeddedStore(directory / "store.db")) as store:
        for batch_ms in range(start_ms, end_ms, _BATCH * _INTERVAL_MS):
            store.write([point for name in names for point in _points(name, batch_ms, rng)])


def _points(name: str, batch_ms: int, rng: random.Random) -> Iterator[StorePoint]:
    for time_ms in range(batch_ms, batch_ms + _BATCH * _INTERVAL_MS, _INTERVAL_MS):
        is_ill = time_ms % _DAY_MS < _TROUBLED * _INTERVAL_MS
        for measurement, tags, some, none in _SERIES:
            low = 82 if is_ill and measurement in _SUFFERING else 0
            fields = {field: low + round(5 * rng.random(), 2) for field in some}
            fields.update(dict.fromkeys(none, 0.0))
            yield StorePoint(name, measurement, tags, time_ms, fields)


if __name__ == "__main__":
    sys.exit(main())
