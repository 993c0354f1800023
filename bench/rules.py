"""What rules cost: a sample through 20 rules, and the memory of a host that is watched.

``python -m bench.rules [--rounds 30] [--json FILE]``: samples of 4-core hosts that are well, each
host in turn, so that with 2,000 of them nothing of one is left in the caches when its next sample
comes. Beside it in the same run: parsing the same sample's JSON, and a loop over rules and points.
Then 500 rules over 50,000 series: the first samples, and those after an edit (``rules_many``).
Exit status 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tracemalloc
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from bench import rules_many
from bench.ingest_sample import sample
from bench.report import Row, save, table

from hostpulse_server.evaluation.evaluator import Evaluator
from hostpulse_server.evaluation.timeline import Sample
from hostpulse_server.rules import RuleSet, load_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Evaluate = Callable[[str, Mapping[str, Any]], object]

BAR_MICROSECONDS = 20.0
BODIES = 60  # different ones; more would only measure reading them from memory
WARM_ROUNDS = 8
WEIGHED_HOSTS = 200
_INTERVAL_MS = 10_000
_START_MS = 1_800_000_000_000
_CALM = 5.0  # what is less than this is well
_LEVELS = "levels: {warning: {above: 80, clear_below: 75}, critical: {above: 95, clear_below: 90}}"
_RULES = (
    "cpu usage_percent {core: total} over: 1m",
    "cpu iowait_percent {core: total}",
    "cpu steal_percent {core: total}",
    "system load_per_core",
    "system units_failed",
    "system raid_degraded",
    "memory used_percent",
    "swap in_bytes_per_second {} only_if: [{field: out_bytes_per_second, above: 1}]",
    "disk used_percent",
    "disk inodes_used_percent",
    "disk readonly",
    "disk hung",
    "network packet_loss_percent",
    "pressure full_avg60_percent {resource: memory}",
    "pressure full_avg60_percent {resource: io}",
    "connections tcp_listen_overflows_per_second {} over: 1m",
    "kernel open_files_percent",
    "kernel conntrack_percent",
    "agent clock_offset_ms {} abs: true",
    "agent dropped_samples",
)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="samples of each of 2,000 hosts")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    rows = measure(options.rounds)
    print(table(f"rules: a sample through {len(_RULES)} rules", rows))
    if options.json:
        save(options.json, {row.name: row.value for row in rows})
    return 0 if all(row.held for row in rows) else 1


def measure(rounds: int) -> list[Row]:
    """Return the figures."""
    rng = random.Random(8)  # noqa: S311 - figures, no secrets
    calm = [json.dumps(_sample(rng, 0)) for _ in range(BODIES)]
    filled = [json.dumps(_sample(rng, 99)) for _ in range(BODIES)]
    rules = _rules()
    many, few = rounds, 40 * rounds
    ours = _cost(_ours(rules), calm, 2000, many)
    naive = _cost(_naive(rules), calm, 2000, min(many, 8))
    return [
        Row("50 hosts", _cost(_ours(rules), calm, 50, few), "µs", BAR_MICROSECONDS),
        Row("2,000 hosts", ours, "µs", BAR_MICROSECONDS),
        Row("2,000 hosts, with six alerts each", _cost(_ours(rules), filled, 2000, many), "µs"),
        Row("parsing its JSON", _cost(lambda *_: None, calm, 2000, many, is_parsed=False), "µs"),
        Row("a loop over rules and points", naive, "µs"),
        Row("that loop's cost by ours", naive / ours, "x"),
        Row("memory of a host", _weigh(rules, calm), "KiB"),
        *rules_many.measure(),
    ]


def _cost(
    evaluate: Evaluate, bodies: Sequence[str], hosts: int, rounds: int, *, is_parsed: bool = True
) -> float:
    """Return microseconds a sample, the median of rounds in which each host sends one."""
    names = [f"host-{number}" for number in range(hosts)]
    found = []
    for number in range(WARM_ROUNDS + rounds):
        spent = 0
        for one, name in enumerate(names):
            body = bodies[(one + number) % len(bodies)]
            begun = perf_counter_ns()
            document = json.loads(body)
            parsed = perf_counter_ns()
            document["time"] = _START_MS + number * _INTERVAL_MS
            ready = perf_counter_ns()
            evaluate(name, document)
            spent += perf_counter_ns() - ready if is_parsed else parsed - begun
        found.append(spent / hosts / 1000)
    return statistics.median(found[WARM_ROUNDS:])


def _ours(rules: RuleSet) -> Evaluate:
    evaluator = Evaluator(rules, lambda _: {})

    def evaluate(name: str, document: Mapping[str, Any]) -> object:
        points = document["points"]
        sample = Sample(document["time"], document["interval_ms"], points)
        evaluator.add(name, "samples", sample)
        return evaluator.collect_changes(name, document["time"], is_fresh=True)

    return evaluate


def _naive(rules: RuleSet) -> Evaluate:
    """Return what comes to mind first: it neither clears nor averages, and knows no gaps."""
    begun: dict[tuple[str, str, str], int] = {}

    def evaluate(name: str, document: Mapping[str, Any]) -> object:
        firing = []
        for rule in rules.rules.values():
            for point in document["points"]:
                tags = point.get("tags", {})
                if point["measurement"] != rule.measurement or not rule.covers(tags):
                    continue
                value = point["fields"].get(rule.field)
                for level in rule.levels:
                    key = (name, rule.name, json.dumps(tags) + level.severity)
                    if value is None or value <= level.threshold:
                        begun.pop(key, None)
                    elif document["time"] - begun.setdefault(key, document["time"]) >= level.for_ms:
                        firing.append(key)
        return firing

    return evaluate


def _weigh(rules: RuleSet, bodies: Sequence[str]) -> float:
    """Return KiB a host, once its windows are full."""
    evaluate = _ours(rules)
    tracemalloc.start()
    try:
        for number in range(WARM_ROUNDS):
            for host in range(WEIGHED_HOSTS):
                document = json.loads(bodies[(host + number) % len(bodies)])
                document["time"] = _START_MS + number * _INTERVAL_MS
                evaluate(f"host-{host}", document)
        document = {}
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return taken / WEIGHED_HOSTS / 1024


def _rules() -> RuleSet:
    lines = ["rules:"]
    for number, text in enumerate(_RULES):
        measurement, field, *_ = text.split(" ", 3)
        where = text[text.index("{") : text.index("}") + 1] if "{" in text else "{}"
        more = text.split("} ", 1)[1] if "} " in text else ""
        lines += [
            f"  - name: rule_{number}",
            f"    measurement: {measurement}",
            f"    field: {field}",
            f"    where: {where}",
            "    for: 5m",
            f"    {_LEVELS}",
            *([f"    {more}"] if more else []),
        ]
    return load_texts({"bench.yml": "\n".join(lines)})


def _sample(rng: random.Random, disk_percent: float) -> dict[str, Any]:
    """Return a sample without anything beyond a threshold but, if it is high, the disks' values."""
    document = sample(1, _START_MS, rng)
    for point in document["points"]:
        for name, value in point["fields"].items():
            if not name.endswith("_bytes"):
                point["fields"][name] = round(value % _CALM, 2)
        if point["measurement"] == "disk" and disk_percent:
            point["fields"].update(used_percent=disk_percent, inodes_used_percent=disk_percent)
    return document


if __name__ == "__main__":
    sys.exit(main())
