"""Thresholds, hysteresis, clocks and severities of one rule on one series."""

from __future__ import annotations

import pytest
from app.tests.evaluation.watching import (
    MINUTE_MS,
    START_MS,
    Watched,
    above,
    below,
    disk,
    reported,
    rule,
)

from hostpulse_server.rules import Comparison, Level

FIVE_MINUTES = 5 * MINUTE_MS
CPU = (above("warning", 80, 75, FIVE_MINUTES), above("critical", 95, 90, FIVE_MINUTES))


def test_a_value_equal_to_the_threshold_does_not_fire() -> None:
    """Above and below are strict."""
    assert reported([above("warning", 80)], [80] * 50) == []
    assert reported([below("warning", 20)], [20] * 50) == []
    assert reported([above("warning", 80)], [80.001]) == [(0, "firing", "warning")]
    assert reported([below("warning", 20)], [19.999]) == [(0, "firing", "warning")]


def test_for_counts_from_the_first_sample_of_the_run() -> None:
    """With a sample each 10 s, five minutes have passed at the 31st."""
    assert reported([above("warning", 80, for_ms=FIVE_MINUTES)], [90] * 30) == []
    assert reported([above("warning", 80, for_ms=FIVE_MINUTES)], [90] * 31) == [
        (300, "firing", "warning")
    ]


def test_the_example_of_the_rules_file_holds() -> None:
    """Five minutes at 90 fire a warning, which 50 ends at once."""
    assert reported(CPU, [90] * 31 + [50]) == [
        (300, "firing", "warning"),
        (310, "resolved", "warning"),
    ]


def test_one_sample_that_is_not_beyond_starts_the_clock_anew() -> None:
    """Holding without a break is what counts."""
    values = [90] * 30 + [80] + [90] * 30
    assert reported([above("warning", 80, for_ms=FIVE_MINUTES)], values) == []
    assert reported([above("warning", 80, for_ms=FIVE_MINUTES)], [*values, 90]) == [
        (610, "firing", "warning")
    ]


@pytest.mark.parametrize("value", [79, 76, 75])
def test_it_fires_on_until_the_value_is_under_its_clear_below(value: float) -> None:
    """Equal to it does not end it."""
    assert reported([above("warning", 80, 75)], [90, value, value]) == [(0, "firing", "warning")]
    assert reported([above("warning", 80, 75)], [90, value, 74.9])[-1] == (
        20,
        "resolved",
        "warning",
    )


def test_without_a_clear_value_it_ends_when_it_is_not_beyond_any_more() -> None:
    """The threshold itself is not beyond."""
    assert reported([above("warning", 80)], [90, 80]) == [
        (0, "firing", "warning"),
        (10, "resolved", "warning"),
    ]


def test_a_rule_for_low_values_clears_above() -> None:
    """The mirror image."""
    levels = [below("warning", 20, 25), below("critical", 5, 10)]
    assert reported(levels, [4, 9, 10, 11, 25, 26]) == [
        (0, "firing", "critical"),
        (30, "firing", "warning"),
        (50, "resolved", "warning"),
    ]


def test_a_firing_critical_falls_to_warning_and_then_ends() -> None:
    """Each level at its own clear value."""
    levels = [above("warning", 80, 75), above("critical", 95, 90)]
    assert reported(levels, [85, 99, 92, 89, 76, 74]) == [
        (0, "firing", "warning"),
        (10, "firing", "critical"),
        (30, "firing", "warning"),
        (50, "resolved", "warning"),
    ]


def test_the_warning_clock_runs_under_a_firing_critical() -> None:
    """Critical at once, warning after a minute: once critical clears, the warning holds."""
    levels = [above("warning", 80, for_ms=MINUTE_MS), above("critical", 95)]
    assert reported(levels, [99] * 6 + [90]) == [
        (0, "firing", "critical"),
        (60, "firing", "warning"),
    ]


def test_a_critical_that_ends_before_the_warning_holds_leaves_it_waiting() -> None:
    """What fired is over, and what waits is another alert, which began when its run did."""
    levels = [above("warning", 80, for_ms=MINUTE_MS), above("critical", 95)]
    watched = Watched.under(rule(*levels))
    watched.run([99, 90])
    assert watched.reported == [
        (0, "firing", "critical"),
        (10, "resolved", "critical"),
        (10, "pending", "warning"),
    ]
    watched.run([90] * 5)
    assert watched.reported[3:] == [(60, "firing", "warning")]
    assert watched.conditions[-1].started_ms == START_MS


def test_a_rule_may_have_a_critical_level_only() -> None:
    """Nothing falls to a level that is not there."""
    assert reported([above("critical", 95, 90)], [85, 99, 91, 89]) == [
        (10, "firing", "critical"),
        (30, "resolved", "critical"),
    ]


def test_an_escalation_keeps_the_start_of_the_alert() -> None:
    """Since when is what people ask, not since when it is worse."""
    watched = Watched.under(rule(above("warning", 80), above("critical", 95)))
    watched.run([10, 85, 85, 99])
    assert [(one.started_ms - START_MS) // 1000 for one in watched.conditions] == [10, 10]
    assert [one.at_ms - START_MS for one in watched.conditions] == [10_000, 30_000]


def test_a_condition_says_what_was_compared_with_what() -> None:
    """The threshold is that of the level told."""
    watched = Watched.under(rule(above("warning", 80, 75), above("critical", 95, 90)))
    watched.run([85, 99, 80, 50])
    assert [(one.value, one.threshold) for one in watched.conditions] == [
        (85, 80),
        (99, 95),
        (80, 80),
        (50, 80),
    ]
    assert watched.conditions[0].identity == ("disk_usage", "web-01", (("mount", "/"),))
    assert watched.conditions[-1].reason == "cleared"


def test_what_waits_is_told_and_dropped() -> None:
    """Of a pending one, the severity is the highest whose clock runs."""
    levels = [above("warning", 80, for_ms=MINUTE_MS), above("critical", 95, for_ms=MINUTE_MS)]
    watched = Watched.under(rule(*levels))
    watched.run([85, 99, 85, 10])
    assert watched.reported == [
        (0, "pending", "warning"),
        (10, "pending", "critical"),
        (20, "pending", "warning"),
        (30, "dropped", "warning"),
    ]
    assert "watches" not in watched.document


def test_it_is_kept_firing_until_it_was_cleared_for_long_enough() -> None:
    """From the first cleared sample to the one that ends it, a minute has to pass."""
    values = [90] + [10] * 6
    assert reported([above("warning", 80)], values, keep_firing_ms=MINUTE_MS) == [
        (0, "firing", "warning")
    ]
    assert reported([above("warning", 80)], [*values, 10], keep_firing_ms=MINUTE_MS)[-1] == (
        70,
        "resolved",
        "warning",
    )


@pytest.mark.parametrize("between", [90, 78])
def test_a_value_beyond_or_in_the_band_starts_keeping_anew(between: float) -> None:
    """Only an unbroken run of cleared values ends it."""
    values = [90] + [10] * 5 + [between] + [10] * 6
    levels = [above("warning", 80, 75)]
    assert reported(levels, values, keep_firing_ms=MINUTE_MS) == [(0, "firing", "warning")]
    assert len(reported(levels, [*values, 10], keep_firing_ms=MINUTE_MS)) == 2


def test_conditions_on_other_fields_must_be_met() -> None:
    """Unmet, or without their field, the value counts as cleared whatever it is."""
    one = rule(above("warning", 80, 10), only_if=(Comparison("inodes", "above", 5),))
    watched = Watched.under(one)
    watched.add(disk(99, inodes=5))
    watched.add(disk(99))
    watched.add(disk(99, inodes=6))
    watched.add(disk(50, inodes=6))
    watched.add(disk(50, inodes=5))
    assert watched.reported == [(20, "firing", "warning"), (40, "resolved", "warning")]
    watched.add(disk(99, inodes=6))
    watched.add(disk(99))
    assert watched.reported[2:] == [(50, "firing", "warning"), (60, "resolved", "warning")]


def test_the_sign_may_not_matter() -> None:
    """An offset of a clock is as bad in one direction as in the other."""
    levels = [above("warning", 50)]
    assert reported(levels, [-60, 10, 60], abs=True) == [
        (0, "firing", "warning"),
        (10, "resolved", "warning"),
        (20, "firing", "warning"),
    ]
    assert reported([below("warning", 5)], [-10, -4, 4, 10], abs=True) == [
        (10, "firing", "warning"),
        (30, "resolved", "warning"),
    ]


@pytest.mark.parametrize(("gap_ms", "fires_at"), [(25_000, 65), (25_001, 85)])
def test_of_a_gap_longer_than_allowed_nothing_counts(gap_ms: int, fires_at: int) -> None:
    """A gap of exactly max_gap is none; of a longer one, nothing was seen beyond the threshold."""
    watched = Watched.under(rule(above("warning", 80, for_ms=MINUTE_MS), max_gap_ms=25_000))
    watched.run([90] * 4)
    watched.add(disk(90), gap_ms=gap_ms)
    watched.run([90] * 3)
    assert watched.news == [(fires_at, "firing", "warning")]
    assert watched.conditions[-1].started_ms == START_MS


@pytest.mark.parametrize(("gap_ms", "fires_at"), [(60_000, 120), (60_001, 150)])
def test_a_gap_longer_than_for_starts_the_clock_anew(gap_ms: int, fires_at: int) -> None:
    """Here ``for`` is more than five intervals."""
    watched = Watched.under(rule(above("warning", 80, for_ms=MINUTE_MS)))
    watched.run([90] * 4)
    watched.add(disk(90), gap_ms=gap_ms)
    watched.run([90] * 6)
    assert watched.news == [(fires_at, "firing", "warning")]


@pytest.mark.parametrize(("gap_ms", "runs"), [(50_000, 1), (50_001, 2)])
def test_a_gap_longer_than_five_intervals_starts_a_short_clock_anew(gap_ms: int, runs: int) -> None:
    """Where ``for`` is less than that, one lost sample must not restart it for ever."""
    watched = Watched.under(rule(above("warning", 80, for_ms=40_000)))
    watched.run([90] * 2)
    watched.add(disk(90), gap_ms=gap_ms)
    assert len(watched.reported) == runs


def test_each_level_counts_what_it_has_seen() -> None:
    """A gap that starts one anew may be none to the other."""
    levels = (above("warning", 80, for_ms=MINUTE_MS), above("critical", 95, for_ms=2 * MINUTE_MS))
    watched = Watched.under(rule(*levels))
    watched.run([99] * 4)
    watched.add(disk(99), gap_ms=61_000)
    watched.run([99] * 9)
    assert watched.news == [(151, "firing", "warning"), (181, "firing", "critical")]


def test_without_max_gap_two_and_a_half_intervals_are_allowed() -> None:
    """Of 10 s, and never less than 25 s."""
    for gap_ms, fires_at in ((25_000, 65), (25_001, 85)):
        watched = Watched.under(rule(above("warning", 80, for_ms=MINUTE_MS)))
        watched.run([90] * 4)
        watched.add(disk(90), gap_ms=gap_ms)
        watched.run([90] * 3)
        assert watched.news == [(fires_at, "firing", "warning")]


def test_a_gap_while_firing_changes_nothing() -> None:
    """The host may be silent for a day: what fired before still does, and ends by its values."""
    watched = Watched.under(rule(above("warning", 80, 75, for_ms=MINUTE_MS)))
    watched.run([90] * 7)
    watched.add(disk(78), gap_ms=24 * 60 * MINUTE_MS)
    assert watched.news == [(60, "firing", "warning")]
    watched.run([74])
    assert watched.news[1:] == [(86_470, "resolved", "warning")]


def test_a_gap_breaks_what_was_cleared_without_a_break() -> None:
    """Nobody knows what was in between."""
    watched = Watched.under(rule(above("warning", 80), keep_firing_ms=MINUTE_MS, max_gap_ms=25_000))
    watched.run([90, 10])
    watched.add(disk(10), gap_ms=MINUTE_MS)
    assert watched.news == [(0, "firing", "warning")]
    watched.run([10] * 6)
    assert watched.news[1:] == [(130, "resolved", "warning")]


def test_each_series_and_each_rule_has_a_state_of_its_own() -> None:
    """Two mounts under two rules are four alerts."""
    watched = Watched.under(
        rule(above("warning", 80)), rule(above("critical", 90), name="disk_full")
    )
    watched.add(disk(95, "/"), disk(85, "/srv"))
    assert [
        (one.identity.rule, dict(one.identity.tags)["mount"]) for one in watched.conditions
    ] == [("disk_full", "/"), ("disk_usage", "/"), ("disk_usage", "/srv")]


def test_only_the_series_that_the_rule_is_about_count() -> None:
    """Tags are matched by globs; liveness is judged elsewhere."""
    silent = rule(name="silent", kind="liveness", levels=())
    watched = Watched.under(rule(above("warning", 80), where={"mount": "/srv*"}), silent)
    watched.add(disk(95, "/"), disk(95, "/srv"), disk(95, "/srv/data"))
    assert [one.identity.tags[0][1] for one in watched.conditions] == ["/srv", "/srv/data"]


def test_a_point_without_the_field_is_no_sample() -> None:
    """It neither ends nor breaks anything by itself."""
    watched = Watched.under(rule(above("warning", 80, for_ms=30_000)))
    watched.run([90, None, 90, None, 90])
    assert watched.news == [(40, "firing", "warning")]


def test_integers_and_a_level_of_every_severity_are_fine() -> None:
    """JSON knows no difference between 1 and 1.0."""
    levels: list[Level] = [above("info", 0), above("warning", 1), above("critical", 2)]
    assert reported(levels, [3, 1, 0]) == [
        (0, "firing", "critical"),
        (10, "firing", "info"),
        (20, "resolved", "info"),
    ]


def test_what_waits_on_after_an_end_is_reported_again() -> None:
    """It fired and was over between two looks: the alert that waited is over with that."""
    levels = (above("info", 1, for_ms=5 * MINUTE_MS), above("warning", 4))
    watched = Watched.under(rule(*levels))
    watched.add(disk(3))
    watched.add(disk(9), collect_changes=False)
    watched.add(disk(3))
    assert [one[1:] for one in watched.reported] == [
        ("pending", "info"),
        ("firing", "warning"),
        ("resolved", "warning"),
        ("pending", "info"),
    ]
