"""Examples of samples that come late, twice, never, or from another stream."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from app.tests.evaluation.watching import (
    MINUTE_MS,
    ORIGIN,
    SERVER,
    START_MS,
    STEP_MS,
    above,
    disk,
    rule,
    rules,
)

from hostpulse_server.evaluation.evaluator import Evaluator
from hostpulse_server.evaluation.host_state import EvaluatedHost
from hostpulse_server.evaluation.timeline import CONFLICT_OVER_MS, MOST_PENDING, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostpulse_server.rules import Rule
    from hostpulse_server.values.alert import Condition

USAGE = rule(above("warning", 80, for_ms=5 * MINUTE_MS))
AT_ONCE = rule(above("warning", 80))


@dataclass
class Link:
    """A host's samples on their way: ``seq`` is also when each was taken, in steps of ten seconds.

    ``found`` are all conditions but those that only wait.
    """

    rule: Rule
    stream: str = "a"
    now_ms: int = START_MS
    found: list[Condition] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin without any sample."""
        self.evaluator = Evaluator(rules(self.rule), lambda _: {})
        self._fired_at: int | None = None

    def send(self, *numbers: int, value: float = 90.0, **changes: Any) -> list[bool]:
        """Deliver these samples in one request, now; return which were taken."""
        taken = []
        for seq in numbers:
            sample = Sample(
                START_MS + seq * STEP_MS,
                STEP_MS,
                [disk(value)],
                stream=self.stream,
                seq=seq,
                mono_ms=seq * STEP_MS,
                received_ms=self.now_ms,
            )
            taken.append(self.evaluator.add(SERVER, ORIGIN, sample._replace(**changes)))
        self.look()
        return taken

    @property
    def fired_at(self) -> int | None:
        """The newest sample that had been delivered when the alert was first reported."""
        return self._fired_at

    def look(self) -> None:
        """Collect what has changed."""
        found = self.evaluator.collect_changes(SERVER, self.now_ms, is_fresh=True)
        self.found += [one for one in found if one.phase in ("firing", "resolved")]
        if self.found and self._fired_at is None:
            self._fired_at = (self.now_ms - START_MS) // STEP_MS

    def restart(self) -> None:
        """Go on with what is remembered."""
        time_ms, document = self.evaluator.dump(SERVER, ORIGIN)
        self.evaluator = Evaluator(rules(self.rule), lambda _: {})
        self.evaluator.restore(SERVER, ORIGIN, time_ms, json.loads(json.dumps(document)))

    def at(self, seq: int) -> None:
        """Let it become the time at which this one is taken."""
        self.now_ms = START_MS + seq * STEP_MS

    @property
    def reported(self) -> list[tuple[str, int]]:
        """What was reported, and of which sample it is."""
        return [(one.phase, (one.at_ms - START_MS) // STEP_MS) for one in self.found]


def cut(numbers: Iterable[int], every: int, length: int) -> list[list[int]]:
    """Return requests: the newest first, then what waited, of a link that is cut now and then."""
    requests, waiting = [], []
    for seq in numbers:
        if seq % every >= every - length:
            waiting.append(seq)
            continue
        requests.append([seq])
        if waiting:
            requests.append(waiting)
            waiting = []
    return requests


def test_a_link_that_is_cut_for_40_s_every_4_minutes_hides_nothing() -> None:
    """97 % for half an hour, each sample delivered: it fires as if there had been no cut."""
    link = Link(USAGE)
    for request in cut(range(1, 181), every=24, length=4):
        link.at(max(request))
        link.send(*request, value=97.0)
    assert link.reported == [("firing", 31)]


def test_one_sample_in_eight_that_is_lost_for_ever_delays_and_hides_nothing() -> None:
    """And a host that says that nothing waits is believed at once."""
    for fields in ({}, {"spool_samples": 0}):
        link = Link(USAGE)
        points = [disk(90.0), {"measurement": "agent", "fields": fields}]
        for seq in range(1, 100):
            if seq % 8:
                link.at(seq)
                link.send(seq, points=points)
        (firing,) = link.found
        assert firing.started_ms == START_MS + STEP_MS
        assert link.reported == [("firing", 31)]


def test_what_began_and_ended_while_the_link_was_cut_is_a_late_line() -> None:
    """An OOM kill in a 40 s outage: one sample beyond the threshold, with its times."""
    link = Link(AT_ONCE)
    link.send(1, 2, value=10.0)
    link.at(7)
    link.send(7, value=10.0)
    link.send(5, 6, value=10.0)
    assert link.found == []
    link.send(4, value=90.0)
    assert link.found == []
    link.send(3, value=10.0)
    assert link.reported == [("firing", 4), ("resolved", 5)]
    assert all(one.is_late for one in link.found)


def test_the_newest_sample_is_judged_before_the_gap_closes() -> None:
    """It fires at once; when the rest comes, it had fired before."""
    link = Link(AT_ONCE)
    link.send(1, value=10.0)
    link.send(5)
    assert link.reported == [("firing", 5)]
    link.send(3, 4)
    link.send(2, value=10.0)
    amended = link.found[-1]
    assert (amended.phase, amended.amends_ms) == ("firing", START_MS + 5 * STEP_MS)
    assert amended.fired_ms == START_MS + 3 * STEP_MS


def test_a_run_over_a_gap_is_not_taken_for_granted() -> None:
    """Five minutes behind the gap are certain; the rest of the run may have been broken."""
    link = Link(USAGE)
    link.send(*range(1, 25))
    for seq in range(28, 58):
        link.at(seq)
        link.send(seq, received_ms=START_MS)  # so that no time passes for the gap
    assert link.found == []
    link.send(58, received_ms=START_MS)
    assert link.reported == [("firing", 58)]


def test_what_may_have_begun_in_a_gap_is_not_called_over() -> None:
    """The lower level may hold by samples that are not here yet."""
    link = Link(rule(above("info", 50, for_ms=20_000), above("warning", 80)))
    link.send(1, value=10.0)
    link.send(6)
    link.send(7, value=60.0)
    assert link.reported == [("firing", 6)]
    link.send(2, 3, 4, 5, value=60.0)
    assert [one.severity for one in link.found] == ["warning", "info"]
    link.send(8, value=10.0)
    assert link.reported[-1] == ("resolved", 8)


def test_of_what_is_repeated_nothing_is_taken() -> None:
    """Neither evaluated samples, nor those that wait."""
    link = Link(AT_ONCE)
    assert link.send(1, 2, 4) == [True, True, True]
    assert link.send(1, 2, 4) == [False, False, False]
    assert link.send(3, 4) == [True, False]


def test_a_stream_not_seen_before_takes_over_and_alerts_stay() -> None:
    """A disk was replaced; what the old stream still has to say comes too late."""
    link = Link(AT_ONCE)
    link.send(1, 2)
    link.stream = "b"
    assert link.send(1, time_ms=START_MS + 3 * STEP_MS) == [True]
    link.stream = "a"
    assert link.send(3, value=10.0, time_ms=START_MS + 3 * STEP_MS - 1) == [False]
    assert link.reported == [("firing", 1)]
    link.stream = "b"
    link.send(2, value=10.0, time_ms=START_MS + 4 * STEP_MS)
    assert link.reported == [("firing", 1), ("resolved", 4)]


def test_two_streams_that_alternate_are_evaluated_as_they_come() -> None:
    """A host was cloned with its spool: better both than one of them at random."""
    link = Link(AT_ONCE)
    taken = []
    for seq in range(1, 11):
        for stream, offset_ms in (("a", 0), ("b", 1)):
            link.stream = stream
            time_ms = START_MS + seq * STEP_MS + offset_ms
            taken += link.send(seq, value=10.0, time_ms=time_ms)
    assert taken[:2] == [True, True]
    assert all(taken[-10:])


def alternate(link: Link, first: int, last: int) -> None:
    """Send samples of two streams in turn, a millisecond apart."""
    for seq in range(first, last):
        link.at(seq)
        for stream, offset_ms in (("a", 0), ("b", 1)):
            link.stream = stream
            time_ms = START_MS + seq * STEP_MS + offset_ms
            link.send(seq, value=10.0, time_ms=time_ms)


def test_a_conflict_is_over_once_one_stream_alone_is_heard() -> None:
    """Of that one samples are judged by their numbers again; the other is one that was left."""
    link = Link(AT_ONCE)
    alternate(link, 1, 11)
    assert link.evaluator.is_in_conflict(SERVER, ORIGIN)
    quiet = CONFLICT_OVER_MS // STEP_MS
    for seq in range(11, 11 + quiet):
        assert link.evaluator.is_in_conflict(SERVER, ORIGIN)
        link.at(seq)
        link.send(seq, value=10.0)
        link.restart()  # which forgets nothing of it
    assert not link.evaluator.is_in_conflict(SERVER, ORIGIN)
    link.at(13 + quiet)
    link.send(12 + quiet, 13 + quiet, value=10.0)
    link.send(11 + quiet)  # late, and in its place
    assert link.reported == [("firing", 11 + quiet), ("resolved", 12 + quiet)]
    link.stream = "a"
    assert link.send(14 + quiet) == [False]


def test_a_conflict_lasts_while_both_streams_are_heard() -> None:
    """However seldom one of them is; and while nothing is heard at all."""
    link = Link(AT_ONCE)
    alternate(link, 1, 11)
    for seq in range(11, 300):
        link.at(seq)
        link.stream = "a" if seq % 60 == 0 else "b"
        link.send(seq, value=10.0)
    link.at(3000)
    link.stream = "b"
    link.send(3000, value=10.0)
    assert link.evaluator.is_in_conflict(SERVER, ORIGIN)


def test_memory_of_an_open_gap_is_bounded() -> None:
    """What a spool holds waits; more passes over the gap."""
    link = Link(USAGE)
    link.send(1)
    link.send(*range(3, MOST_PENDING + 3))
    assert len(link.evaluator.waiting()) == 1
    link.send(MOST_PENDING + 3)
    assert link.evaluator.waiting() == []


def test_lost_samples_delay_alerts_by_about_a_minute() -> None:
    """Of a host that does not say what waits; however many gaps are open at a time."""
    link = Link(USAGE)
    for seq in range(1, 100):
        if seq % 8:
            link.at(seq)
            link.send(seq, value=90.0 if seq > 20 else 10.0)
    (firing,) = link.found
    assert firing.started_ms == START_MS + 21 * STEP_MS
    assert link.fired_at is not None
    assert 51 <= link.fired_at <= 51 + 8


def test_a_stream_whose_numbers_go_back_is_judged_on() -> None:
    """A machine was put back to a snapshot with its spool; time went on."""
    link = Link(AT_ONCE)
    for seq in range(1, 51):
        link.at(seq)
        link.send(seq, value=10.0)
    taken = []
    for seq in range(11, 20):
        link.at(seq + 60)
        taken += link.send(seq, time_ms=link.now_ms)
    assert taken == [False, False, *[True] * 7]
    assert link.reported == [("firing", 73)]


def test_one_absurd_number_mutes_no_host() -> None:
    """It is left out, and the others go on."""
    link = Link(AT_ONCE)
    link.send(1, 2, value=10.0)
    assert link.send(2**53, 2**62, value=10.0, time_ms=START_MS + 3 * STEP_MS) == [False, False]
    for seq in range(3, 6):
        link.at(seq)
        assert link.send(seq) == [True]
    assert link.reported == [("firing", 3)]


def test_a_stream_that_takes_over_does_not_undo_what_was_reported() -> None:
    """Its numbers begin at 1 again, which says nothing about what came first."""
    link = Link(AT_ONCE)
    link.send(1, 2, value=10.0)
    link.send(10)
    assert link.reported == [("firing", 10)]
    link.stream = "b"
    link.send(1, value=10.0, time_ms=START_MS + 12 * STEP_MS)
    assert link.reported == [("firing", 10), ("resolved", 12)]
    assert [one.amends_ms for one in link.found] == [None, None]


def test_what_is_repeated_in_a_conflict_is_judged_once() -> None:
    """Also what waited when it was found."""
    link = Link(AT_ONCE)
    for seq in range(1, 8):
        for stream, offset_ms in (("a", 0), ("b", 1)):
            link.stream = stream
            link.send(seq, value=10.0, time_ms=START_MS + seq * STEP_MS + offset_ms)
    assert link.send(8) == [True]
    assert link.send(7, 8, value=10.0) == [False, False]
    assert link.reported == [("firing", 8)]


def test_what_waits_is_not_evaluated_again_with_each_request() -> None:
    """Newest first, one at a time: the cost grows with the samples, not with their square."""
    link = Link(AT_ONCE)
    copies = 0
    copy = EvaluatedHost.copy

    def counted(host: EvaluatedHost) -> EvaluatedHost:
        nonlocal copies
        copies += 1
        return copy(host)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EvaluatedHost, "copy", counted)
        for seq in range(200, 0, -1):
            link.send(seq)
    assert copies == 1
    link.look()
    assert link.reported[0] == ("firing", 200)
