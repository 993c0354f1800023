"""Rules with ``over`` compare an aggregate of the values of that time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from app.tests.evaluation.watching import MINUTE_MS, Watched, above, disk, reported, rule
from hypothesis import given
from hypothesis import strategies as st

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


@given(value=st.floats(-1e9, 1e9), count=st.integers(1, 40))
def test_the_mean_of_equal_values_is_that_value(value: float, count: int) -> None:
    """Or rounding would carry a value on a threshold past it."""
    window = AggregationWindow(MINUTE_MS, "mean")
    assert {window.add(one, value) for one in range(count)} == {value}
