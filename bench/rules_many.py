"""Many rules over many series: the first samples after a start, and those after an edit.

``bench.rules`` has these figures in its table, once with ten measurements of ten devices and once
with one of a hundred. Every second device has a name of its own on each host; of the 500 rules, a
quarter look at one device and half at those that a glob names (the others at all, or at one where
there is one measurement), and all have an override by server, every fifth one by a label.
"""

from __future__ import annotations

from time import process_time
from typing import TYPE_CHECKING, Any, Final

from bench.report import Row

from hostpulse_server.evaluation.evaluator import Evaluator
from hostpulse_server.evaluation.timeline import Sample
from hostpulse_server.rules import RuleSet, load_texts

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTS = 500
SERIES = 100  # of each host
RULES = 500
BAR_SECONDS = 5.0
_INTERVAL_MS = 10_000
_START_MS = 1_800_000_000_000
_EXACT: Final = "{device: d%d}"
_WHERE: Final = (_EXACT, '{device: "*-%d"}', '{device: "d%d*"}')


def measure() -> list[Row]:
    """Return the figures."""
    return [row for measurements in (10, 1) for row in _measure(measurements)]


def _measure(measurements: int) -> list[Row]:
    begun = process_time()
    evaluator = Evaluator(_rules(measurements, 80), lambda server_id: {"env": server_id[-1]})
    loaded = process_time() - begun
    first = _round(evaluator, measurements, 0)
    _round(evaluator, measurements, 1)
    begun = process_time()
    evaluator.reload(_rules(measurements, 81))
    reloaded = process_time() - begun
    after = _round(evaluator, measurements, 2)
    steady = _round(evaluator, measurements, 3)
    of = f"of {measurements} measurement{'s' if measurements > 1 else ''}"
    return [
        Row(
            f"{RULES} rules, {HOSTS * SERIES} series {of}: first round",
            loaded + first,
            "s CPU",
            BAR_SECONDS,
        ),
        Row(f"    {of}: after an edit of one rule", reloaded + after, "s CPU", BAR_SECONDS),
        Row(f"    {of}: any other", steady, "s CPU"),
    ]


def _round(evaluator: Evaluator, measurements: int, number: int) -> float:
    """Return seconds of CPU for one sample of each host."""
    spent = 0.0
    time_ms = _START_MS + number * _INTERVAL_MS
    for host in range(HOSTS):
        name = f"host-{host}"
        sample = Sample(time_ms, _INTERVAL_MS, list(_points(host, measurements)))
        begun = process_time()
        evaluator.add(name, "samples", sample)
        evaluator.collect_changes(name, time_ms, is_fresh=True)
        spent += process_time() - begun
    return spent


def _points(host: int, measurements: int) -> Iterator[dict[str, Any]]:
    for measurement in range(measurements):
        for device in range(SERIES // measurements):
            name = f"h{host}-{device}" if device % 2 else f"d{device}"
            fields = {f"f{field}": 5.0 for field in range(5)}
            yield {"measurement": f"m{measurement}", "tags": {"device": name}, "fields": fields}


def _rules(measurements: int, threshold: int) -> RuleSet:
    """Return the rules; one has this threshold."""
    lines = ["rules:"]
    for number in range(RULES):
        one = _EXACT if measurements == 1 else "{}"
        where = (one, *_WHERE)[number // measurements % 4]
        where = where % (number % (SERIES // measurements)) if "%" in where else where
        above = threshold if number == RULES // 2 else 80
        lines += [
            f"  - name: rule_{number}",
            f"    measurement: m{number % measurements}",
            f"    field: f{number % 5}",
            f"    where: {where}",
            "    for: 5m",
            f"    levels: {{warning: {{above: {above}}}}}",
            "    overrides:",
            f'      - match: {{server_id: "db-{number}-*"}}',
            "        levels: {warning: {above: 90}}",
        ]
        if number % 5 == 0:
            lines += ["      - match: {label.env: 7}", "        levels: {warning: {above: 85}}"]
    return load_texts({"bench.yml": "\n".join(lines)})
