"""Series that a host had for long and that go away: what is said of that, and until when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.tests.evaluation.delivery import history, in_order
from app.tests.evaluation.watching import (
    MINUTE_MS,
    ORIGIN,
    OTHER,
    SERVER,
    START_MS,
    STEP_MS,
    Watched,
    above,
    disk,
    rule,
    rules,
)

from hostpulse_server.evaluation.evaluator import Evaluator
from hostpulse_server.evaluation.presence import FORGOTTEN_AFTER, GONE_AFTER
from hostpulse_server.evaluation.timeline import Sample
from hostpulse_server.rules import Level

if TYPE_CHECKING:
    from app.tests.evaluation.delivery import History

    from hostpulse_server.rules import Rule
    from hostpulse_server.values.alert import Condition


MAX_GAP_MS = 25_000


def absent(**changes: Any) -> Rule:
    """Return a rule that fires after a minute, of what was there for two."""
    known = {
        "name": "absent",
        "kind": "absent",
        "present_for_ms": 2 * MINUTE_MS,
        "forget_after_ms": 20 * MINUTE_MS,
    }
    return rule(Level("warning", "above", 0.5, 0.5, MINUTE_MS), **{**known, **changes})


def test_a_series_that_goes_away_while_its_host_reports_is_said_to_be_absent() -> None:
    """It is gone after five intervals, and a minute later that is an alert, without a value."""
    watched = Watched.under(absent())
    watched.run([10] * 13 + [None] * 15)
    assert watched.reported == [(170, "pending", "warning"), (230, "firing", "warning")]
    assert (watched.conditions[-1].value, watched.conditions[-1].threshold) == (None, None)
    watched.run([10])
    assert watched.news[1:] == [(280, "resolved", "warning")]
    assert watched.conditions[-1].reason == "cleared"


def test_a_series_that_was_not_there_for_long_may_go() -> None:
    """What is plugged in for an hour is not missed."""
    watched = Watched.under(absent())
    watched.run([10] * 12 + [None] * 40)
    assert watched.reported == []
    assert "watches" not in watched.document


def test_what_fired_of_a_series_that_vanishes_is_gone_before_it_is_absent() -> None:
    """Nothing ends in green: the one is over as gone when the other begins to count."""
    watched = Watched.under(rule(above("warning", 80)), absent())
    watched.run([90] * 13 + [None] * 15)
    of = {
        name: [one for one in watched.conditions if one.identity.rule == name]
        for name in ("disk_usage", "absent")
    }
    over, fires = of["disk_usage"][-1], of["absent"][-1]
    assert (over.phase, over.reason) == ("resolved", "gone")
    assert (fires.phase, fires.started_ms) == ("firing", over.at_ms)


def test_a_silent_host_keeps_what_is_absent_as_it_is() -> None:
    """Nothing is known of its mounts meanwhile, and its silence counts for nothing."""
    watched = Watched.under(absent())
    watched.run([10] * 13 + [None] * 5)
    watched.add(gap_ms=5 * MINUTE_MS)
    assert watched.news == []
    watched.run([None] * 6)
    assert [one[1] for one in watched.news] == ["firing"]
    watched.add(gap_ms=10 * MINUTE_MS)
    assert [one[1] for one in watched.news] == ["firing"]


def test_what_stays_away_is_forgotten_in_the_end() -> None:
    """As gone, and when it comes back it is new."""
    watched = Watched.under(absent())
    watched.run([10] * 13 + [None] * 120)
    assert [one[1] for one in watched.news] == ["firing", "resolved"]
    over = watched.conditions[-1]
    assert (over.reason, over.at_ms - watched.conditions[0].started_ms) == ("gone", 1_150_000)
    assert "watches" not in watched.document
    watched.run([10] * 5 + [None] * 20)
    assert len(watched.news) == 2


def test_a_slow_series_is_not_absent_between_two_samples() -> None:
    """One in every sixth sample is waited for five of its own intervals."""
    watched = Watched.under(absent())
    for number in range(40):
        watched.add(*([disk(10)] if number % 6 == 0 else []))
    assert watched.reported == []
    for _ in range(40):
        watched.add()
    assert watched.news == [(360 + 300 + 60, "firing", "warning")]


def test_a_restart_forgets_neither_presence_nor_absence() -> None:
    """Nor how long either has lasted; other thresholds may hold afterwards."""
    watched = Watched.under(absent())
    for value in [10] * 13 + [None] * 11:
        watched.run([value])
        watched.restart()
    assert watched.news == [(230, "firing", "warning")]
    watched.reload(absent(levels=(Level("critical", "above", 0.5, 0.5, 0),)))
    watched.run([None, 10])
    assert watched.news[1:] == [(240, "firing", "critical"), (250, "resolved", "critical")]


def numbered(seq: int, *points: Any, at_ms: int | None = None) -> Sample:
    """Return a sample of an agent; its clock says ``at_ms``, if that is not right."""
    mono_ms = seq * STEP_MS
    time_ms = START_MS + (mono_ms if at_ms is None else at_ms)
    received_ms = START_MS + mono_ms
    points = (*points, OTHER)
    return Sample(time_ms, STEP_MS, points, "a", seq, mono_ms, received_ms=received_ms)


def test_nothing_is_absent_while_samples_are_missing_that_may_have_it() -> None:
    """The series came back in them: nobody is told what is not so, and then has to take it back."""
    watching = absent(levels=(Level("warning", "above", 0.5, 0.5, 30_000),))
    evaluator = Evaluator(rules(watching), lambda _: {})
    samples = {seq: numbered(seq, *([disk(10)] if seq < 14 else [])) for seq in range(1, 40)}
    samples[20] = numbered(20, disk(10))
    found: list[Condition] = []
    for seq in [*range(1, 20), *range(21, 25), 20, *range(25, 40)]:
        evaluator.add(SERVER, ORIGIN, samples[seq])
        now_ms = START_MS + seq * STEP_MS
        found += evaluator.collect_changes(SERVER, now_ms, is_fresh=True)
    fired = [(one.at_ms - START_MS) // STEP_MS for one in found if one.phase == "firing"]
    assert fired == [20 + 5 + 3]
    assert not [one for one in found if one.amends_ms is not None]


def test_a_clock_that_is_set_makes_no_day_of_two_minutes() -> None:
    """Nor takes one away: times before it are moved along."""
    for step_ms in (-3_600_000, 3_600_000):
        for lasted, is_missed in ((8, False), (14, True)):
            evaluator = Evaluator(rules(absent()), lambda _: {})
            for seq in range(1, 40):
                at_ms = seq * STEP_MS + (step_ms if seq > 4 else 0)
                there = [disk(10)] if seq <= lasted else []
                evaluator.add(SERVER, ORIGIN, numbered(seq, *there, at_ms=at_ms))
            found = evaluator.collect_changes(SERVER, START_MS, is_fresh=True)
            assert any(one.phase == "firing" for one in found) is is_missed


def test_the_history_of_absence_is_what_plain_counting_makes_of_the_samples() -> None:
    """Of drawn histories without steps of the clock, by a second way to compute it."""
    compared = 0
    for seed in range(400):
        one = history(seed)
        if one.has_steps:
            continue
        lines = [it for it in in_order(one) if it.rule == "third"]
        found = sorted((it.tags, it.fired_ms, it.resolved_ms, it.reason) for it in lines)
        assert found == counted(one), seed
        compared += len(found)
    assert compared > 200


def counted(one: History) -> list[Any]:
    """Return (tags, fired, ended, reason) of the rule "third"."""
    keys = {
        tuple(point.get("tags", {}).items())
        for sample in one.stored
        for point in sample.points
        if point["measurement"] == "disk"
    }
    return sorted(found for key in keys for found in Counting(one, key).lines())


class Counting:
    """One series through all samples, with its spacing, its day and its absence counted by hand."""

    def __init__(self, one: History, key: tuple[tuple[str, str], ...]) -> None:
        self.samples = one.stored
        self.key = key
        self.rule = one.rules.rules["third"]
        self.for_ms = self.rule.levels[0].for_ms
        self.found: list[Any] = []
        self.seen = -1  # the index of the last sample with the series
        self.spacing: int | None = None
        self.since_ms: int | None = None
        self.away_ms: int | None = None  # since when it counts as away
        self.lost_ms = self.before_ms = 0
        self.fired_ms: int | None = None

    def lines(self) -> list[Any]:
        """Return what fired, and how it ended."""
        for index, sample in enumerate(self.samples):
            if any(self._is_it(point) for point in sample.points):
                self._there(index, sample.time_ms)
            elif self.since_ms is not None:
                self._missing(index, sample.time_ms, self.since_ms)
        if self.fired_ms is not None:
            self._end(None, "")
        return self.found

    def _is_it(self, point: Any) -> bool:
        tags = tuple(point.get("tags", {}).items())
        return point["measurement"] == "disk" and tags == self.key

    def _end(self, now_ms: int | None, reason: str) -> None:
        if self.fired_ms is not None:
            self.found.append((self.key, self.fired_ms, now_ms, reason))
        self.away_ms = self.fired_ms = None

    @property
    def _limit(self) -> int:
        return GONE_AFTER * (self.spacing or 1)

    def _there(self, index: int, now_ms: int) -> None:
        self._end(now_ms, "cleared")
        remembered = self._limit if self.spacing else FORGOTTEN_AFTER
        is_known = self.seen >= 0 and index - self.seen <= remembered
        self.spacing = index - self.seen if is_known else None
        self.since_ms = now_ms if self.since_ms is None else self.since_ms
        self.seen = index

    def _missing(self, index: int, now_ms: int, since_ms: int) -> None:
        last_ms = self.samples[self.seen].time_ms
        if self.away_ms is None:
            if index - self.seen != self._limit:
                return
            if last_ms - since_ms < self.rule.present_for_ms:
                self.since_ms = None
                return
            self.away_ms, self.lost_ms, self.before_ms = now_ms, 0, now_ms
        if now_ms - last_ms >= self.rule.forget_after_ms:
            self.since_ms = None
            self._end(now_ms, "gone")
            return
        gap_ms, self.before_ms = now_ms - self.before_ms, now_ms
        if gap_ms > max(self.for_ms, GONE_AFTER * STEP_MS):
            self.away_ms, self.lost_ms = now_ms, 0
        elif gap_ms > MAX_GAP_MS:
            self.lost_ms += gap_ms
        if self.fired_ms is None and now_ms - self.away_ms - self.lost_ms >= self.for_ms:
            self.fired_ms = now_ms
