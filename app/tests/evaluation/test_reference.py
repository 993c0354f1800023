"""The evaluator says what the slow, obvious reference says, whatever comes."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from app.tests.evaluation.reference import INTERVAL_MS, SERVER, Reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostpulse_server.evaluation.evaluator import Evaluator
from hostpulse_server.evaluation.timeline import Sample
from hostpulse_server.rules import Comparison, Level, Override, Rule, RuleSet
from hostpulse_server.values.alert import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostpulse_server.rules.model import Direction
    from hostpulse_server.values.alert import Condition

LONG = os.environ.get("HOSTPULSE_TRIALS") == "long"
ORIGIN = "samples"
START_MS = 1_800_000_000_000
SECOND = 1000
SERIES: tuple[dict[str, str], ...] = ({}, {"mount": "/"}, {"mount": "/srv"})

DIRECTIONS: tuple[Direction, ...] = ("above", "above", "below")

seconds = st.sampled_from((0, 10, 20, 40, 60))


@st.composite
def levels(draw: st.DrawFn) -> tuple[Level, ...]:
    """Draw levels that rules files allow."""
    direction: Direction = draw(st.sampled_from(DIRECTIONS))
    sign = 1 if direction == "above" else -1
    limits = sorted(draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    if direction == "below":
        limits.reverse()
    severities = draw(st.permutations(SEVERITIES))[: len(limits)]
    found = []
    for severity, limit in zip(sorted(severities, key=SEVERITIES.index), limits, strict=True):
        clear = draw(st.none() | st.integers(0, 2))
        found.append(
            Level(
                severity=severity,
                direction=direction,
                threshold=limit,
                clear=None if clear is None else limit - sign * clear,
                for_ms=draw(seconds) * SECOND,
            )
        )
    return tuple(found)


@st.composite
def rules(draw: st.DrawFn, name: str) -> Rule:
    """Draw a rule, maybe with an override."""

    def plain() -> Rule:
        over = draw(st.sampled_from((0, 0, 20, 25, 60)))
        others = ("increase", "increase") if over else ()
        return Rule(
            name=name,
            kind="threshold",
            summary="",
            runbook="",
            measurement="disk",
            field=draw(st.sampled_from(("used", "used", "other"))),
            where=draw(st.sampled_from(({}, {}, {"mount": "*"}, {"mount": "/"}))),
            over_ms=over * SECOND,
            aggregate=draw(st.sampled_from(("mean", "min", "max", *others))),
            only_if=draw(
                st.sampled_from(((), (), (), (Comparison("other", "above", 3),)))
                | st.just((Comparison("other", "below", 5), Comparison("used", "above", 1)))
            ),
            abs=draw(st.booleans()),
            max_gap_ms=draw(st.sampled_from((None, None, None, 10, 25, 60))),
            keep_firing_ms=draw(seconds) * SECOND,
            levels=draw(levels()),
        )

    rule = plain()
    if rule.max_gap_ms:
        rule = replaced(rule, max_gap_ms=rule.max_gap_ms * SECOND)
    if draw(st.booleans()):
        other = replaced(
            rule, levels=draw(levels()), enabled=draw(st.sampled_from((True, True, False)))
        )
        rule = replaced(rule, overrides=(Override({"mount": "/s*"}, other),))
    return rule


def replaced(rule: Rule, **changes: Any) -> Rule:
    """Return the rule with these changes."""
    values = {name: getattr(rule, name) for name in Rule.__slots__}
    return Rule(**{**values, **changes})


class Block(NamedTuple):
    """Some samples alike, and what is done after each: collect (fresh or not), or restart."""

    times: int
    gap_ms: int
    used: tuple[float | None, ...]
    other: float | None
    is_twice: bool
    doing: str


values = st.sampled_from((None, 0, 1, 2, 2.5, 3, 4, 4, 5, 6, 7, 7, 9, -4, -9))
blocks = st.builds(
    Block,
    times=st.sampled_from((1, 1, 1, 2, 2, 3, 3, 5, 5, 8, 8, 55)),
    gap_ms=st.sampled_from((10_000,) * 6 + (10_001, 20_000, 25_000, 25_001, 60_000, 0)),
    used=st.tuples(values, values, values),
    other=st.sampled_from((None, 0, 4, 4, 4, 9)),
    is_twice=st.sampled_from((False,) * 7 + (True,)),
    doing=st.sampled_from(("collect_changes",) * 5 + ("nothing", "stale", "restart", "restart")),
)


def points(block: Block, every: Sequence[int], number: int) -> list[dict[str, Any]]:
    """Return the points of the host's sample of this number."""
    found = []
    for tags, used, spacing in zip(SERIES, block.used, every, strict=True):
        fields = {"used": used, "other": block.other}
        known = {name: value for name, value in fields.items() if value is not None}
        if known and number % spacing == 0:
            found.append({"measurement": "disk", "tags": tags, "fields": known})
    if block.is_twice and found:
        found.append({**found[0], "fields": {"used": 5}})
    return [{"measurement": "cpu", "fields": {"used": 9}}, *found]


def plain(conditions: Sequence[Condition]) -> list[Any]:
    """Return conditions without trends, by identity."""
    found = [
        (
            *one.identity,
            one.phase,
            one.severity,
            one.value,
            one.threshold,
            one.started_ms,
            one.at_ms,
            one.reason,
            one.is_late,
        )
        for one in conditions
    ]
    return sorted(found, key=lambda one: one[:3])


@settings(
    max_examples=10_000 if LONG else 250,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    one=rules("first"),
    two=rules("second"),
    every=st.tuples(*(st.sampled_from((1, 1, 1, 2, 6)) for _ in SERIES)),
    history=st.lists(blocks, min_size=3, max_size=16),
)
def test_the_evaluator_agrees_with_the_reference(
    one: Rule, two: Rule, every: tuple[int, ...], history: list[Block]
) -> None:
    """Over random rules, series, gaps, duplicates, restarts and moments to look."""
    rule_set = RuleSet({"first": one, "second": two})
    evaluator, reference = Evaluator(rule_set, lambda _: {}), Reference(rule_set)
    time_ms, number = START_MS, 0
    for block in history:
        for _ in range(block.times):
            time_ms, number = time_ms + block.gap_ms, number + 1
            sample = points(block, every, number)
            is_new = evaluator.add(SERVER, ORIGIN, Sample(time_ms, INTERVAL_MS, sample))
            assert is_new == reference.add(time_ms, INTERVAL_MS, sample)
            if block.doing == "restart":
                evaluator = restarted(evaluator, rule_set)
            if block.doing == "stale":
                assert evaluator.collect_changes(SERVER, time_ms, is_fresh=False) == []
            elif block.doing != "nothing":
                reported = plain(evaluator.collect_changes(SERVER, time_ms, is_fresh=True))
                assert reported == plain(reference.collect_changes())
    assert plain(evaluator.collect_changes(SERVER, time_ms, is_fresh=True)) == plain(
        reference.collect_changes()
    )
    assert evaluator.collect_changes(SERVER, time_ms, is_fresh=True) == []


def restarted(evaluator: Evaluator, rule_set: RuleSet) -> Evaluator:
    """Return another evaluator that knows what this one's document says."""
    time_ms, document = evaluator.dump(SERVER, ORIGIN)
    other = Evaluator(rule_set, lambda _: {})
    other.restore(SERVER, ORIGIN, time_ms, json.loads(json.dumps(document)))
    return other
