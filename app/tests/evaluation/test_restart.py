"""What is remembered over a restart: little, and enough to go on as if there had been none."""

from __future__ import annotations

import json
import os
from typing import Any

from app.tests.evaluation.watching import (
    MINUTE_MS,
    OTHER,
    START_MS,
    Watched,
    above,
    below,
    disk,
    rule,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from hostpulse_server.rules import Comparison

LONG = os.environ.get("HOSTPULSE_TRIALS") == "long"

RULES = (
    rule(above("warning", 80, 75, 20_000), above("critical", 95, 90), name="levels"),
    rule(above("warning", 80, for_ms=30_000), over_ms=30_000, name="mean"),
    rule(below("warning", 20), keep_firing_ms=20_000, max_gap_ms=15_000, name="kept"),
    rule(
        above("info", 50), only_if=(Comparison("inodes", "above", 5),), abs=True, name="conditional"
    ),
)


def test_of_an_ordinary_quiet_sample_only_its_time_and_series_are_remembered() -> None:
    """And which series it had: a document a second for 2,000 hosts has to be small."""
    watched = Watched.under(rule(above("warning", 80, for_ms=MINUTE_MS)))
    watched.run([10, 10])
    time_ms, document = watched.evaluator.dump("web-01", "samples")
    assert time_ms == START_MS + 10_000
    assert list(document) == ["present"]
    assert len(json.dumps(document)) < 30


def test_only_what_has_something_to_remember_is_in_the_document() -> None:
    """One of two mounts."""
    watched = Watched.under(rule(above("warning", 80, for_ms=MINUTE_MS)))
    for _ in range(2):
        watched.add(disk(90), disk(10, "/srv"))
    assert [one["tags"] for one in watched.document["watches"]] == [{"mount": "/"}]
    assert len(json.dumps(watched.document)) < 400


def test_a_host_never_heard_of_has_an_empty_document() -> None:
    """And any sample is newer than none."""
    watched = Watched.under(rule())
    assert watched.evaluator.dump("web-01", "samples") == (-1, {})
    watched.restart()
    assert watched.add(disk(10))


def test_samples_from_before_the_restart_are_skipped() -> None:
    """The journal may give them again."""
    watched = Watched.under(rule())
    watched.run([10, 10])
    watched.restart()
    assert not watched.add(disk(90), gap_ms=0)
    assert watched.add(disk(90))


def test_nothing_that_was_told_is_told_again() -> None:
    """Neither what fires nor what waits."""
    watched = Watched.under(rule(above("warning", 80), above("critical", 95, for_ms=MINUTE_MS)))
    watched.run([10, 99])
    watched.restart()
    assert watched.collect_changes() == []
    watched.run([99])
    assert watched.reported == [(10, "firing", "warning")]


def test_what_was_found_but_not_settled_is_told_after_the_restart() -> None:
    """It waited for a fresh sample, or the engine died before it asked."""
    watched = Watched.under(rule(above("warning", 80)))
    watched.add(disk(90), collect_changes=False)
    watched.restart()
    assert [(one.phase, one.value) for one in watched.collect_changes()] == [("firing", 90)]
    watched.add(disk(10), collect_changes=False)
    watched.restart()
    assert [(one.phase, one.at_ms) for one in watched.collect_changes()] == [
        ("resolved", START_MS + 10_000)
    ]


def test_a_clock_that_runs_goes_on() -> None:
    """Half the time before, half after."""
    watched = Watched.under(rule(above("warning", 80, for_ms=MINUTE_MS)))
    watched.run([90] * 4)
    watched.restart()
    watched.run([90] * 3)
    assert watched.news == [(60, "firing", "warning")]
    assert watched.conditions[-1].started_ms == START_MS


def test_under_another_threshold_what_fires_is_judged_by_the_next_sample() -> None:
    """As after a reload, though nobody was there to reload."""
    for value, then in ((85, "resolved"), (96, "")):
        watched = Watched.under(rule(above("warning", 80, 70)))
        watched.run([value])
        watched.restart(rule(above("warning", 90, 70, MINUTE_MS)))
        assert watched.collect_changes() == []
        watched.run([value])
        assert [one[1] for one in watched.reported[1:]] == ([then] if then else [])


def test_what_no_rule_stands_behind_any_more_is_left_out() -> None:
    """Its alert is ended by whoever keeps the rows."""
    watched = Watched.under(rule(above("warning", 80)))
    watched.run([10, 90])
    watched.restart(rule(above("warning", 80), enabled=False))
    assert "watches" not in watched.document
    watched.restart(rule(above("warning", 80), name="other"))
    watched.run([10, 90])
    assert [one.identity.rule for one in watched.conditions] == ["disk_usage", "other"]


def test_an_alert_whose_rule_looks_elsewhere_now_is_gone() -> None:
    """Its series does not come any more."""
    watched = Watched.under(rule(above("warning", 80)))
    watched.run([10, 90])
    watched.restart(rule(above("warning", 80), measurement="diskio"))
    watched.run([90] * 5)
    assert watched.news[1:] == [(60, "resolved", "warning")]
    assert watched.conditions[-1].reason == "gone"


values = st.sampled_from((5, 10, 30, 60, 76, 85, 92, 99, -60))
samples = st.lists(
    st.tuples(
        st.tuples(values, values, st.sampled_from((0, 9))),
        st.sampled_from((10_000, 10_000, 10_000, 20_000, 40_000, 0)),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=3_000 if LONG else 100, deadline=None)
@given(history=samples)
def test_restarts_anywhere_change_nothing(history: list[tuple[Any, int, bool, bool]]) -> None:
    """One that restarts at random points tells what one that never does tells."""
    steady, restarted = Watched.under(*RULES), Watched.under(*RULES)
    for (one, two, inodes), gap_ms, settles, restarts in history:
        for watched in (steady, restarted):
            points = (disk(one, inodes=inodes), disk(two, "/srv", inodes=inodes), OTHER)
            watched.add(*points, gap_ms=gap_ms, collect_changes=settles)
        if restarts:
            restarted.restart()
        assert restarted.document == steady.document
        assert _plain(restarted) == _plain(steady)


def _plain(watched: Watched) -> list[Any]:
    return [
        (
            one.identity,
            one.phase,
            one.severity,
            one.value,
            one.threshold,
            one.started_ms,
            one.at_ms,
            one.reason,
        )
        for one in watched.conditions
    ]
