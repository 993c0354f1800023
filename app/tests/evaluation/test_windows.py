"""Rules with ``over`` compare an aggregate of the values of that time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from app.tests.evaluation.watching import (
    MINUTE_MS,
    ORIGIN,
    SERVER,
    START_MS,
    STEP_MS,
    Watched,
    above,
    disk,
    reported,
    rule,
    rules,
)
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_server.evaluation.evaluator import Evaluator
from hostpulse_server.evaluation.timeline import Sample
from hostpulse_server.evaluation.window import AggregationWindow
from hostpulse_server.rules import Comparison

if TYPE_CHECKING:
    from hostpulse_server.evaluation.window import Aggregate

CPU = above("warning", 80, 75)


def test_a_peak_shorter_than_the_window_does_not_fire() -> None:
    """The mean of six values counts, not the sixth."""
    assert reported([CPU], [50] * 6 + [100] * 3, over_ms=MINUTE_MS) == []
    assert reported([CPU], [50] * 6 + [100] * 4, over_ms=MINUTE_MS) == [(90, "firing", "warning")]


def test_a_window_that_is_not_full_yet_counts_what_is_there() -> None:
    """From the first value on."""
    assert reported([CPU], [90], over_ms=MINUTE_MS) == [(0, "firing", "warning")]


@pytest.mark.parametrize(("aggregate", "fires"), [("mean", [20]), ("max", [10]), ("min", [30])])
def test_mean_min_and_max_differ(aggregate: Aggregate, fires: list[int]) -> None:
    """Over 30 s, that is three values."""
    found = reported([CPU], [10, 90, 200, 90, 90], over_ms=30_000, aggregate=aggregate)
    assert [at for at, *_ in found] == fires


def test_a_value_as_old_as_the_window_is_long_is_outside() -> None:
    """Of 20 s, the value of 20 s ago does not count."""
    window = AggregationWindow(20_000, "max")
    assert [window.add(time_ms, value) for time_ms, value in ((0, 9), (10_000, 1))] == [9, 9]
    assert window.add(20_000, 2) == 2
    assert window.add(39_999, 1) == 2
    assert window.add(90_000, 5) == 5
    assert window.pairs == [(90_000, 5)]


def test_after_a_gap_the_window_begins_anew_by_itself() -> None:
    """What is older than the window has left it."""
    watched = Watched.under(rule(CPU, over_ms=MINUTE_MS))
    watched.run([100] * 6)
    watched.add(disk(10), gap_ms=MINUTE_MS)
    assert watched.reported == [(0, "firing", "warning"), (110, "resolved", "warning")]
    assert watched.conditions[-1].value == 10


def test_the_sign_goes_before_the_aggregate() -> None:
    """An offset that swings around 0 is large, not 0."""
    assert reported([CPU], [-100, 100], over_ms=MINUTE_MS, abs=True) == [(0, "firing", "warning")]
    assert reported([CPU], [-100, 100], over_ms=MINUTE_MS) == []


def test_values_count_while_other_conditions_are_not_met() -> None:
    """They are not looked at, but they were there."""
    one = rule(CPU, over_ms=MINUTE_MS, only_if=(Comparison("inodes", "above", 5),))
    watched = Watched.under(one)
    watched.add(disk(100))
    watched.add(disk(70, inodes=6))
    assert [(one.at_ms, one.value) for one in watched.conditions] == [(watched.time_ms, 85)]


def test_a_window_outlives_a_restart() -> None:
    """Half of it before, half after."""
    watched = Watched.under(rule(CPU, over_ms=MINUTE_MS))
    watched.run([50] * 6 + [100] * 3)
    watched.restart()
    watched.run([100])
    assert watched.news == [(90, "firing", "warning")]


def test_a_window_ends_with_its_series() -> None:
    """What comes back is not averaged with what was before."""
    watched = Watched.under(rule(CPU, over_ms=10 * MINUTE_MS))
    watched.run([10, 10, *[None] * 5])
    assert watched.document == {}
    watched.run([90])
    assert watched.news == [(70, "firing", "warning")]


def test_an_increase_is_counted_across_a_gap() -> None:
    """The value before it counts, however long ago that was."""
    watched = Watched.under(rule(above("warning", 2.5), over_ms=MINUTE_MS, aggregate="increase"))
    watched.run([7, 7])
    watched.add(disk(10), gap_ms=60 * MINUTE_MS)
    watched.run([10] * 6)
    assert watched.reported == [(3610, "firing", "warning"), (3670, "resolved", "warning")]
    assert [one.value for one in watched.conditions] == [3, 0]


def test_behind_an_open_gap_what_was_counted_for_certain_fires_at_once() -> None:
    """A part of the increase that is beyond the threshold; one that is not says nothing yet."""
    one = rule(above("warning", 1), over_ms=10 * MINUTE_MS, aggregate="increase")
    evaluator = Evaluator(rules(one), lambda _: {})
    found = []
    for seq, value in ((1, 5), (4, 6), (5, 7), (6, 9)):
        now_ms = START_MS + seq * STEP_MS
        sample = Sample(now_ms, STEP_MS, [disk(value)], "stream", seq, received_ms=now_ms)
        evaluator.add(SERVER, ORIGIN, sample)
        changes = evaluator.collect_changes(SERVER, now_ms, is_fresh=True)
        found += [(seq, it.phase, it.value) for it in changes]
    assert found == [(6, "firing", 3)]


def test_what_a_counter_has_at_first_is_no_increase() -> None:
    """It began long before."""
    assert reported([above("warning", 0)], [5, 5], over_ms=MINUTE_MS, aggregate="increase") == []


def test_a_counter_that_went_backwards_counts_from_0() -> None:
    """Never less than nothing, and what it has counted since counts."""
    window = AggregationWindow(30_000, "increase")
    values = [8, 9, 2, 2, 2, 0, 1]
    found = [window.add(10_000 * number, value) for number, value in enumerate(values)]
    assert found == [0, 1, 3, 3, 2, 0, 1]


def test_an_increase_outlives_a_restart() -> None:
    """What was counted last is remembered."""
    watched = Watched.under(rule(above("warning", 1), over_ms=MINUTE_MS, aggregate="increase"))
    watched.run([3] * 20)
    watched.restart()
    watched.run([5])
    assert watched.news == [(200, "firing", "warning")]


def test_under_a_rule_that_counted_otherwise_counting_begins_anew() -> None:
    """A window of another aggregate does not hold what an increase needs."""
    plain = rule(above("warning", 1), over_ms=MINUTE_MS, aggregate="max")
    watched = Watched.under(plain)
    watched.run([0, 5])
    watched.reload(replace(plain, aggregate="increase"))
    watched.run([5, 5])
    assert watched.news == [(10, "firing", "warning"), (20, "resolved", "warning")]


@given(values=st.lists(st.integers(0, 9), min_size=1), over=st.integers(1, 12))
def test_an_increase_is_the_sum_of_all_steps_within_its_time(values: list[int], over: int) -> None:
    """However few of the values are kept."""
    window = AggregationWindow(over * 1000, "increase")
    for number, value in enumerate(values):
        first = max(1, number - over + 1)
        pairs = zip(values[first - 1 :], values[first : number + 1], strict=False)
        steps = sum(new - old if new >= old else new for old, new in pairs)
        assert window.add(number * 1000, value) == steps
    changes = sum(new != old for old, new in pairwise(values))
    assert len(window.pairs) <= changes + 1


@given(value=st.floats(-1e9, 1e9), count=st.integers(1, 40))
def test_the_mean_of_equal_values_is_that_value(value: float, count: int) -> None:
    """Or rounding would carry a value on a threshold past it."""
    window = AggregationWindow(MINUTE_MS, "mean")
    assert {window.add(one, value) for one in range(count)} == {value}
