"""Settling, and what happens to alerts when rules, labels or servers change."""

from __future__ import annotations

from app.tests.evaluation.watching import (
    MINUTE_MS,
    SERVER,
    START_MS,
    Watched,
    above,
    disk,
    rule,
)

from hostpulse_server.evaluation.timeline import Sample
from hostpulse_server.rules import Override, Rule


def test_while_samples_are_old_nothing_is_reported() -> None:
    """What is over by then is a line of history, marked late."""
    watched = Watched.under(rule(above("warning", 80)))
    for value in (10, 90, 10):
        watched.add(disk(value), collect_changes=False)
        assert watched.collect_changes(is_fresh=False) == []
    watched.add(disk(10))
    assert watched.reported == [(10, "firing", "warning"), (20, "resolved", "warning")]
    assert all(one.is_late for one in watched.conditions)


def test_a_fresh_sample_confirms_what_a_backlog_began() -> None:
    """With the times of the backlog, and the value of now."""
    watched = Watched.under(rule(above("warning", 80)))
    for value in (10, 90, 91):
        watched.add(disk(value), collect_changes=False)
        assert watched.collect_changes(is_fresh=False) == []
    watched.add(disk(92))
    assert watched.reported == [(10, "firing", "warning")]
    assert (watched.conditions[0].value, watched.conditions[0].started_ms) == (
        92,
        START_MS + 10_000,
    )


def test_what_came_and_went_between_two_looks_leaves_its_trace() -> None:
    """An alert, and an interruption of one, is the same however often one looks."""
    looks = ((10, 90, 10), (90,), (10, 99, 90), (10,))
    rarely, often = (
        Watched.under(rule(above("warning", 80), above("critical", 95))) for _ in range(2)
    )
    for values in looks:
        for value in values:
            rarely.add(disk(value), collect_changes=False)
            often.add(disk(value))
        rarely.collect_changes()
    assert rarely.reported == often.reported
    assert rarely.reported == [
        (10, "firing", "warning"),
        (20, "resolved", "warning"),
        (30, "firing", "warning"),
        (40, "resolved", "warning"),
        (50, "firing", "critical"),
        (60, "firing", "warning"),
        (70, "resolved", "warning"),
    ]
    assert [one.is_late for one in rarely.conditions] == [True, True, *[False] * 5]


def test_what_fired_and_waits_again_is_two_conditions() -> None:
    """The end of the one, and the beginning of the other."""
    watched = Watched.under(rule(above("warning", 80, for_ms=20_000)))
    watched.run([90] * 3)
    for value in (10, 90):
        watched.add(disk(value), collect_changes=False)
    watched.collect_changes()
    assert watched.reported[2:] == [(30, "resolved", "warning"), (40, "pending", "warning")]


def test_the_trend_is_the_last_thirty_values() -> None:
    """Oldest first, also of a slow series."""
    watched = Watched.under(rule(above("warning", 80)))
    watched.run([*range(40), 90])
    assert watched.conditions[-1].trend == (*range(11, 40), 90)
    slow = Watched.under(rule(above("warning", 800)))
    for number in range(40 * 6 + 1):
        slow.add(*([disk(number if number < 240 else 900)] if number % 6 == 0 else []))
    assert slow.conditions[-1].trend == (*range(11 * 6, 240, 6), 900)


def test_the_trend_shows_what_was_compared() -> None:
    """Aggregates of a rule with ``over``, and values without their sign."""
    watched = Watched.under(rule(above("warning", 80), over_ms=20_000, abs=True))
    watched.run([-10, 30, -150])
    assert watched.conditions[-1].trend == (10, 20, 90)


def test_clocks_go_on_under_rules_with_the_same_threshold() -> None:
    """Another summary, another clear value or another ``for`` is no other alert."""
    watched = Watched.under(rule(above("warning", 80, for_ms=MINUTE_MS)))
    watched.run([90] * 4)
    assert watched.reload(rule(above("warning", 80, 70, for_ms=40_000), summary="other")) == []
    watched.run([90])
    assert watched.news == [(40, "firing", "warning")]
    watched.reload(rule(above("warning", 80, 70)))
    watched.run([75, 69])
    assert watched.news[1:] == [(60, "resolved", "warning")]


def test_clocks_begin_anew_under_another_threshold() -> None:
    """That the value was beyond the old one says nothing."""
    watched = Watched.under(rule(above("warning", 80, for_ms=MINUTE_MS)))
    watched.run([90] * 4)
    watched.reload(rule(above("warning", 85, for_ms=MINUTE_MS)))
    watched.run([90] * 6)
    assert watched.news == []
    watched.run([90])
    assert watched.news == [(100, "firing", "warning")]


def test_what_fires_under_another_threshold_is_judged_by_the_next_sample() -> None:
    """It goes on at once where it is beyond it, and ends where it is not, band or not."""
    watched = Watched.under(rule(above("warning", 80, 75)))
    watched.add(disk(95), disk(85, "/srv"))
    assert watched.reload(rule(above("warning", 90, 75, for_ms=MINUTE_MS))) == []
    watched.add(disk(95), disk(85, "/srv"))
    assert [(one.phase, one.identity.tags[0][1]) for one in watched.conditions[2:]] == [
        ("resolved", "/srv")
    ]
    watched.add(disk(76), disk(85, "/srv"))
    assert len(watched.conditions) == 3


def test_a_level_that_is_taken_away_leaves_the_others_to_be_judged() -> None:
    """A critical becomes a warning."""
    watched = Watched.under(rule(above("critical", 80)))
    watched.run([90])
    watched.reload(rule(above("warning", 70, for_ms=MINUTE_MS)))
    watched.run([90])
    assert watched.reported == [(0, "firing", "critical"), (10, "firing", "warning")]


def test_a_level_that_is_added_starts_its_own_clock() -> None:
    """The warning is not touched."""
    watched = Watched.under(rule(above("warning", 80)))
    watched.run([99])
    watched.reload(rule(above("warning", 80), above("critical", 95, for_ms=10_000)))
    watched.run([99, 99])
    assert watched.reported == [(0, "firing", "warning"), (20, "firing", "critical")]


def test_a_rule_that_is_removed_ends_its_alerts() -> None:
    """What only waited is dropped; the time is that of the newest sample."""
    watched = Watched.under(
        rule(above("warning", 80), name="one"), rule(above("warning", 80, for_ms=99), name="two")
    )
    watched.run([90])
    found = watched.reload()
    assert [(one.identity.rule, one.phase, one.reason, one.at_ms) for one in found] == [
        ("one", "resolved", "rule_removed", START_MS),
        ("two", "dropped", "rule_removed", START_MS),
    ]
    assert watched.reload() == []
    assert watched.document == {}


def test_a_rule_that_is_disabled_ends_its_alerts() -> None:
    """Everywhere, or where an override says so; enabled again, it starts anew."""
    one = rule(above("warning", 80, for_ms=10_000))
    watched = Watched.under(one)
    for _ in range(2):
        watched.add(disk(90), disk(90, "/srv"))
    off = rule(above("warning", 80, for_ms=10_000), enabled=False)
    found = watched.reload(_overridden(one, off, {"mount": "/srv"}))
    assert [(it.identity.tags[0][1], it.reason) for it in found] == [("/srv", "disabled")]
    assert [it.reason for it in watched.reload(off)] == ["disabled"]
    watched.add(disk(90))
    watched.reload(one)
    watched.add(disk(90))
    assert watched.reported[-1] == (30, "pending", "warning")


def test_what_nobody_was_told_of_ends_without_a_word() -> None:
    """It was never collected."""
    watched = Watched.under(rule(above("warning", 80)))
    watched.add(disk(90), collect_changes=False)
    assert watched.reload() == []
    assert watched.collect_changes() == []


def test_rules_become_liveness_or_another_measurement() -> None:
    """The first is another thing altogether; of the second, the old series does not come."""
    watched = Watched.under(rule(above("warning", 80)))
    watched.run([10, 90])
    found = watched.reload(rule(kind="liveness", levels=()))
    assert [one.reason for one in found] == ["rule_removed"]


def test_an_override_by_tag_has_its_own_thresholds() -> None:
    """The first that matches wins."""
    one = rule(above("warning", 80))
    watched = Watched.under(_overridden(one, rule(above("warning", 95)), {"mount": "/s*"}))
    watched.add(disk(90), disk(90, "/srv"))
    assert [it.identity.tags[0][1] for it in watched.conditions] == ["/"]
    watched.add(disk(90), disk(96, "/srv"))
    assert watched.conditions[-1].threshold == 95


def test_other_labels_bring_other_thresholds() -> None:
    """Clocks go on where the threshold is the same for both."""
    one = rule(above("warning", 80, for_ms=MINUTE_MS), above("critical", 95))
    other = rule(above("warning", 80, for_ms=MINUTE_MS), above("critical", 50))
    watched = Watched.under(_overridden(one, other, {"label.env": "prod"}))
    watched.run([90] * 4)
    assert watched.news == []
    watched.labels["env"] = "prod"
    watched.evaluator.relabel(SERVER)
    assert watched.collect_changes() == []
    watched.run([90])
    assert watched.news == [(40, "firing", "critical")]
    watched.labels.clear()
    watched.evaluator.relabel(SERVER)
    watched.run([90] * 2)
    assert watched.news[1:] == [(50, "resolved", "critical"), (60, "firing", "warning")]


def test_labels_that_disable_a_rule_end_its_alerts_with_the_next_sample() -> None:
    """Told when the server is collected next."""
    one = rule(above("warning", 80))
    off = rule(above("warning", 80), enabled=False)
    watched = Watched.under(_overridden(one, off, {"label.env": "lab"}))
    watched.run([90])
    watched.labels["env"] = "lab"
    watched.evaluator.relabel(SERVER)
    assert watched.collect_changes(is_fresh=False) == []
    watched.run([90])
    assert [(it.phase, it.reason) for it in watched.conditions[1:]] == [("resolved", "disabled")]


def test_a_server_that_is_forgotten_ends_all_its_alerts() -> None:
    """And is heard of as for the first time, should it come back."""
    watched = Watched.under(rule(above("warning", 80)), rule(above("info", 5, for_ms=9), name="z"))
    watched.run([90])
    found = watched.evaluator.forget(SERVER, "server_removed")
    assert [(one.phase, one.reason) for one in found] == [
        ("resolved", "server_removed"),
        ("dropped", "server_removed"),
    ]
    assert watched.evaluator.forget(SERVER, "disabled") == []
    watched.evaluator.relabel(SERVER)
    assert watched.add(disk(90), gap_ms=-MINUTE_MS)


def test_servers_do_not_know_each_other() -> None:
    """Same series, same layout, one fires."""
    watched = Watched.under(rule(above("warning", 80)))
    watched.run([90])
    assert watched.evaluator.add("web-02", "samples", Sample(START_MS, 10_000, [disk(10)]))
    assert watched.evaluator.collect_changes("web-02", START_MS, is_fresh=True) == []
    assert watched.evaluator.collect_changes("web-03", START_MS, is_fresh=True) == []


def _overridden(one: Rule, other: Rule, match: dict[str, str]) -> Rule:
    return Rule(
        **{
            **{name: getattr(one, name) for name in Rule.__slots__},
            "overrides": (Override(match, other),),
        }
    )
