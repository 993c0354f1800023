"""Histories: a host's samples, what becomes of them on the way, and the rows that come of it.

Everything is drawn from one seed, so that a history that differs can be looked at again.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from hostpulse_server.evaluation.evaluator import Evaluator
from hostpulse_server.evaluation.timeline import Sample
from hostpulse_server.rules import Comparison, Level, Rule, RuleSet
from hostpulse_server.values.alert import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hostpulse_server.evaluation.window import Aggregate
    from hostpulse_server.rules.model import Direction
    from hostpulse_server.values.alert import Condition, Severity

SERVER = "web-01"
ORIGIN = "samples"
START_MS = 1_800_000_000_000
INTERVAL_MS = 10_000
HOUR_MS = 3_600_000
PAUSE_MS = 600_000  # within what gaps are kept open for
SERIES: tuple[dict[str, str], ...] = ({}, {"mount": "/"}, {"mount": "/srv"})
VALUES = (0, 1, 2, 2.5, 3, 4, 4, 5, 6, 7, 7, 9, -4)


class Batch(NamedTuple):
    """A request, or what the engine reads of one at a time."""

    received_ms: int
    samples: tuple[Sample, ...]


@dataclass
class History:
    """What a host sampled, what of it was stored, and how that came in."""

    seed: int
    rules: RuleSet
    stored: list[Sample] = field(default_factory=list)  # in the order of their numbers
    batches: list[Batch] = field(default_factory=list)
    has_steps: bool = False
    way: str = ""


class Row(NamedTuple):
    """A line of the history of alerts."""

    rule: str
    tags: tuple[tuple[str, str], ...]
    severity: str
    started_ms: int
    fired_ms: int
    resolved_ms: int | None
    reason: str


class Rows:
    """Keeps the lines of history, as the state database does."""

    def __init__(self) -> None:
        self.active: dict[Any, Row] = {}
        self.over: dict[Any, list[Row]] = {}
        self.reported = 0

    def apply(self, conditions: Iterable[Condition]) -> None:
        """Write conditions, in order."""
        for one in conditions:
            self._write(one)

    def _write(self, one: Condition) -> None:
        key = (one.identity.rule, one.identity.tags)
        fired_ms = one.at_ms if one.fired_ms is None else one.fired_ms
        row = Row(*key, one.severity, one.started_ms, fired_ms, None, "")
        over = self.over.setdefault(key, [])
        if one.amends_ms is not None:
            before = [it for it in over if it.fired_ms == one.amends_ms]
            active = self.active.get(key)
            if active is not None and active.fired_ms == one.amends_ms:
                before.append(self.active.pop(key))
            if before[-1] in over:
                over.remove(before[-1])
            if one.phase == "resolved":
                over.append(row._replace(resolved_ms=one.at_ms, reason=one.reason))
            elif one.phase == "firing":
                assert key not in self.active
                self.active[key] = row
        elif one.phase == "firing":
            known = self.active.get(key)
            self.active[key] = row if known is None else known._replace(severity=one.severity)
            self.reported += known is None
        elif one.phase == "resolved" and one.is_late and one.fired_ms is not None:
            over.append(row._replace(resolved_ms=one.at_ms, reason=one.reason))
        elif one.phase == "resolved":
            row = self.active.pop(key)._replace(severity=one.severity)
            over.append(row._replace(resolved_ms=one.at_ms, reason=one.reason))

    def lines(self) -> list[Row]:
        """Return all, by identity and time."""
        every = [*self.active.values(), *(row for rows in self.over.values() for row in rows)]
        return sorted(every, key=lambda row: (row.rule, row.tags, row.fired_ms))


def history(seed: int) -> History:
    """Draw one."""
    draw = random.Random(seed)  # noqa: S311 - histories, no secrets
    rules = RuleSet(
        {
            **{name: _rule(draw, name) for name in ("first", "second")},
            "third": _absent(random.Random(~seed)),  # noqa: S311 - as above
        }
    )
    found = History(seed, rules)
    taken = _samples(draw, found)
    chance = draw.choice((0, 0, 0.03, 0.1, 0.3))
    lost = {one.seq for one in taken if draw.random() < chance}
    if draw.random() < 0.3:
        first = draw.randrange(len(taken))
        lost |= set(range(first, first + draw.randint(2, 12)))
    found.stored = [one for one in taken if one.seq not in lost] or taken
    found.way = draw.choice(("in order", "agent", "agent", "shuffled", "newest first"))
    ways = {
        "in order": _in_order,
        "agent": _as_agents_send,
        "shuffled": _shuffled,
        "newest first": _newest_first,
    }
    found.batches = ways[found.way](draw, found.stored)
    if draw.random() < 0.5:
        _repeat(draw, found.batches)
    return found


def in_order(one: History) -> list[Row]:
    """Return the lines that come of the stored samples, each evaluated as the next one."""
    evaluator, rows = Evaluator(one.rules, lambda _: {}), Rows()
    for sample in one.stored:
        complete = [*sample.points, {"measurement": "agent", "fields": {"spool_samples": 0}}]
        evaluator.add(SERVER, ORIGIN, sample._replace(points=complete))
        rows.apply(evaluator.collect_changes(SERVER, 0, is_fresh=True))
    return rows.lines()


def delivered(one: History, rows: Rows | None = None) -> list[Row]:
    """Return the lines that come of what was delivered, with restarts of the engine in between."""
    draw = random.Random(-1 - one.seed)  # noqa: S311 - as above
    evaluator, rows = Evaluator(one.rules, lambda _: {}), rows or Rows()
    restarts, looks = draw.choice((0, 0, 0.1, 0.3)), draw.choice((1, 0.5))
    now_ms = 0
    for number, batch in enumerate(one.batches):
        now_ms = batch.received_ms
        for sample in batch.samples:
            evaluator.add(SERVER, ORIGIN, sample._replace(received_ms=now_ms, entry_id=number + 1))
        if draw.random() < looks:
            is_fresh = draw.random() < 0.9
            rows.apply(evaluator.collect_changes(SERVER, now_ms, is_fresh=is_fresh))
        if draw.random() < restarts:
            evaluator = _restarted(evaluator, one)
    rows.apply(evaluator.collect_changes(SERVER, now_ms + HOUR_MS, is_fresh=True))
    assert evaluator.collect_changes(SERVER, now_ms + HOUR_MS, is_fresh=True) == []
    return rows.lines()


def _restarted(before: Evaluator, one: History) -> Evaluator:
    time_ms, document = before.dump(SERVER, ORIGIN)
    evaluator = Evaluator(one.rules, lambda _: {})
    entries = evaluator.restore(SERVER, ORIGIN, time_ms, json.loads(json.dumps(document)))
    for number in entries:
        batch = one.batches[number - 1]
        for sample in batch.samples:
            again = sample._replace(received_ms=batch.received_ms, entry_id=number)
            evaluator.add(SERVER, ORIGIN, again)
    return evaluator


def _rule(draw: random.Random, name: str) -> Rule:
    direction: Direction = draw.choice(("above", "above", "below"))
    sign = 1 if direction == "above" else -1
    limits = sorted(draw.sample(range(1, 7), draw.randint(1, 3)), reverse=direction == "below")
    severities = sorted(draw.sample(SEVERITIES, len(limits)), key=SEVERITIES.index)
    levels = tuple(
        Level(
            severity=severity,
            direction=direction,
            threshold=limit,
            clear=draw.choice((None, limit, limit - sign, limit - 2 * sign)),
            for_ms=draw.choice((0, 0, 10, 20, 40, 60, 120)) * 1000,
        )
        for severity, limit in zip(severities, limits, strict=True)
    )
    over = draw.choice((0, 0, 0, 20, 25, 60))
    aggregate: Aggregate = draw.choice(("mean", "min", "max", "increase"))
    return Rule(
        name=name,
        kind="threshold",
        summary="",
        runbook="",
        measurement="disk",
        field="used",
        over_ms=(over or 20 if aggregate == "increase" else over) * 1000,
        aggregate=aggregate,
        only_if=draw.choice(((), (), (Comparison("other", "above", 3),))),
        abs=draw.random() < 0.2,
        max_gap_ms=draw.choice((None, None, None, 10_000, 60_000)),
        keep_firing_ms=draw.choice((0, 0, 0, 20_000, 60_000)),
        levels=levels,
    )


def _absent(draw: random.Random) -> Rule:
    """Return a rule that fires while a series is away that was there for some time."""
    away = sorted(draw.choice((0, 10, 20, 40, 120)) * 1000 for _ in range(draw.randint(1, 2)))
    severities: tuple[Severity, ...] = ("warning", "critical")
    return Rule(
        name="third",
        kind="absent",
        summary="",
        runbook="",
        measurement="disk",
        field="used",
        present_for_ms=draw.choice((0, 30, 60, 120)) * 1000,
        forget_after_ms=draw.choice((150, 200, 300)) * 1000,
        levels=tuple(
            Level(severity, "above", 0.5, 0.5, for_ms)
            for severity, for_ms in zip(severities, away, strict=False)
        ),
    )


def _samples(draw: random.Random, found: History) -> list[Sample]:
    count = draw.randint(5, 80)
    every = [draw.choice((1, 1, 1, 1, 2, 6)) for _ in SERIES]
    there = [draw.random() < 0.7 for _ in SERIES]
    used = [draw.choice(VALUES) for _ in SERIES]
    other = draw.choice((0, 4, 9))
    steps = draw.random() < 0.25
    found.has_steps = steps
    time_ms = mono_ms = 0
    offset_ms = 0
    samples = []
    for seq in range(1, count + 1):
        passed = INTERVAL_MS + draw.choice((0, 0, 0, 1, -1, 300))
        if draw.random() < 0.01:
            passed = draw.choice((20_000, 26_000, 60_000, PAUSE_MS))
        time_ms, mono_ms = time_ms + passed, mono_ms + passed
        if steps and draw.random() < 0.08:
            offset_ms = draw.choice((0, HOUR_MS + 123, -HOUR_MS - 217, 70_321, -70_457))
        for index in range(len(SERIES)):
            if draw.random() < 0.2:
                used[index] = draw.choice(VALUES)
            if draw.random() < 0.04:
                there[index] = not there[index]
        if draw.random() < 0.1:
            other = draw.choice((0, 4, 9))
        points: list[dict[str, Any]] = [{"measurement": "cpu", "fields": {"used": 9}}]
        for tags, value, spacing, is_there in zip(SERIES, used, every, there, strict=True):
            if is_there and seq % spacing == 0:
                fields = {"used": value, "other": other}
                points.append({"measurement": "disk", "tags": tags, "fields": fields})
        samples.append(
            Sample(
                START_MS + time_ms + offset_ms,
                INTERVAL_MS,
                points,
                stream="stream",
                seq=seq,
                mono_ms=mono_ms,
            )
        )
    return samples


def _in_order(draw: random.Random, stored: Sequence[Sample]) -> list[Batch]:
    batches, left = [], list(stored)
    while left:
        count = draw.choice((1, 1, 1, 2, 5, 30))
        now, left = left[:count], left[count:]
        batches.append(Batch(START_MS + (now[-1].mono_ms or 0), tuple(now)))
    return batches


def _as_agents_send(draw: random.Random, stored: Sequence[Sample]) -> list[Batch]:
    """Send the newest at once, then the backlog from its oldest on; at times nothing."""
    batches: list[Batch] = []
    waiting: list[Sample] = []
    tells = draw.random() < 0.5
    cut = 0
    chance, size = draw.choice((0.05, 0.2)), draw.choice((1, 3, 100))
    for one in stored:
        sample = one
        if tells:
            agent = {"measurement": "agent", "fields": {"spool_samples": len(waiting)}}
            sample = one._replace(points=[*one.points, agent])
        if cut:
            cut -= 1
            waiting.append(sample)
            continue
        now_ms = START_MS + (one.mono_ms or 0)
        batches.append(Batch(now_ms, (sample,)))
        if waiting:
            batches.append(Batch(now_ms + 100, tuple(waiting[:size])))
            waiting = waiting[size:]
        if draw.random() < chance:
            cut = draw.choice((1, 3, 4, 12))
    for first in range(0, len(waiting), 5):
        last_ms = batches[-1].received_ms if batches else START_MS
        batches.append(Batch(last_ms + 100, tuple(waiting[first : first + 5])))
    return batches


def _shuffled(draw: random.Random, stored: Sequence[Sample]) -> list[Batch]:
    """Each up to 50 s late."""
    late = [((one.mono_ms or 0) + draw.randrange(50_000), one) for one in stored]
    return [Batch(START_MS + at, (one,)) for at, one in sorted(late, key=lambda it: it[0])]


def _newest_first(draw: random.Random, stored: Sequence[Sample]) -> list[Batch]:
    """All within a minute, after the host was cut off for long."""
    size, left = draw.choice((1, 7, 100)), list(stored)
    batches: list[Batch] = []
    while left:
        left, now = left[:-size], left[-size:]
        batches.append(Batch(START_MS + (stored[-1].mono_ms or 0) + len(batches) * 300, tuple(now)))
    return batches


def _repeat(draw: random.Random, batches: list[Batch]) -> None:
    """Send some again, later."""
    for _ in range(draw.randint(1, 4)):
        number = draw.randrange(len(batches))
        later = draw.randrange(number, len(batches))
        again = Batch(batches[later].received_ms, batches[number].samples)
        batches.insert(later + 1, again)
