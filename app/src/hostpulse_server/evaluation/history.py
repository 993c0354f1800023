"""What is reported of an alert's transitions, and how reports are amended by later samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hostpulse_server.evaluation.state_machine import (
    NOTHING_COMPARED,
    LastReported,
    Transition,
    threshold_of,
)
from hostpulse_server.values.alert import Condition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hostpulse_server.evaluation.compiled import CompiledRule
    from hostpulse_server.evaluation.state_machine import AlertStateMachine
    from hostpulse_server.values.alert import Phase, Reason


@dataclass(slots=True)
class FiringSpan:
    """An alert from how it fired first to its end, ``None`` while it fires."""

    begin: Transition
    latest: Transition
    end: Transition | None = None

    def overlaps(self, other: FiringSpan) -> bool:
        """Return whether both fire at some time together."""
        return (self.end is None or other.begin.order <= self.end.order) and (
            other.end is None or self.begin.order <= other.end.order
        )


def after(base: LastReported | None, transitions: Iterable[Transition]) -> LastReported | None:
    """Return how an alert stands after transitions, ``None`` if it does not fire."""
    standing = base
    for one in transitions:
        if one.phase != "firing":
            standing = None
        elif standing is None:
            standing = LastReported("firing", one.severity, one.started_ms, one.at_ms)
        else:
            standing = standing._replace(severity=one.severity)
    return standing


class Reporter:
    """Makes the conditions of one rule on one series."""

    def __init__(
        self, server_id: str, compiled_rule: CompiledRule, trend: tuple[float, ...] = ()
    ) -> None:
        self._identity = compiled_rule.identity(server_id)
        self._rule = compiled_rule.rule
        self._trend = trend

    def added(
        self, base: LastReported | None, transitions: Sequence[Transition]
    ) -> list[Condition]:
        """Return what transitions add to what was reported; what is over with them is late."""
        found: list[Condition] = []
        standing, first = base, -1
        for one in transitions:
            if one.phase == "firing":
                first = len(found) if standing is None else first
                standing = after(standing, [one])
            started_ms = one.started_ms if standing is None else standing.started_ms
            found.append(self._condition(one, started_ms))
            if one.phase != "firing":
                if first >= 0:
                    found[first:] = [replace(it, is_late=True) for it in found[first:]]
                standing, first = None, -1
        return found

    def pending(self, machine: AlertStateMachine) -> Condition:
        """Return that an alert waits."""
        one = Transition(
            "pending", machine.severity, machine.started_ms, machine.at_ms, float(machine.value)
        )
        return self._condition(one, one.started_ms)

    def ending(self, reported: LastReported, over: Transition) -> Condition:
        """Return the end of what was reported."""
        phase: Phase = "resolved" if reported.phase == "firing" else "dropped"
        one = over._replace(phase=phase, severity=reported.severity)
        return self._condition(one, reported.started_ms)

    def ended(self, reported: LastReported, time_ms: int, reason: Reason) -> Condition:
        """Return the end of what was reported, not by a sample."""
        return self.ending(reported, Transition("resolved", "info", 0, time_ms, None, reason))

    def revised(
        self, base: LastReported | None, before: Sequence[Transition], truth: Sequence[Transition]
    ) -> list[Condition]:
        """Return what turns reports of ``before`` into the truth; both begin with ``base``."""
        wrong, right = list(_spans(base, before)), list(_spans(base, truth))
        ends: list[Condition] = []
        begins: list[Condition] = []
        for new in right:
            old = next((it for it in wrong if it.overlaps(new)), None)
            if old is None:
                found = self._missed(new)
            else:
                wrong.remove(old)
                found = self._amended(old, new)
            (begins if new.end is None else ends).extend(found)
        for old in wrong:  # it never was
            never = self._condition(old.begin._replace(phase="dropped"), old.begin.started_ms)
            ends.insert(0, replace(never, amends_ms=old.begin.at_ms))
        return [*ends, *begins]

    def _missed(self, new: FiringSpan) -> list[Condition]:
        """Return what reports a span of which nothing was reported."""
        if new.end is None:
            now = self._condition(new.begin, new.begin.started_ms)
            return [replace(now, severity=new.latest.severity)]
        over = self._condition(new.end, new.begin.started_ms)
        begin = new.begin
        return [replace(over, is_late=True, fired_ms=begin.at_ms, fired_value=begin.value)]

    def _amended(self, old: FiringSpan, new: FiringSpan) -> list[Condition]:
        """Return what turns one span into another, nothing where they are the same."""
        if new == old:
            return []
        is_same = new.begin == old.begin and old.end is None
        last = new.end or new.latest
        condition = self._condition(last, new.begin.started_ms)
        if is_same:  # it goes on from what was reported
            return [condition]
        if new.end is None:
            condition = replace(condition, at_ms=new.begin.at_ms)
        return [replace(condition, amends_ms=old.begin.at_ms, fired_ms=new.begin.at_ms)]

    def _condition(self, one: Transition, started_ms: int) -> Condition:
        return Condition(
            identity=self._identity,
            phase=one.phase,
            severity=one.severity,
            value=None if one.reason in NOTHING_COMPARED or self._rule.is_absent else one.value,
            threshold=threshold_of(self._rule, one.severity),
            started_ms=started_ms,
            at_ms=one.at_ms,
            reason=one.reason,
            trend=self._trend,
        )


def _spans(base: LastReported | None, transitions: Iterable[Transition]) -> Iterator[FiringSpan]:
    current = None
    if base is not None:
        begin = Transition("firing", base.severity, base.started_ms, base.fired_ms, None)
        current = FiringSpan(begin, begin)
    for one in transitions:
        if current is None:
            current = FiringSpan(one, one)
        elif one.phase == "firing":
            current.latest = one
        else:
            current.end = one
            yield current
            current = None
    if current is not None:
        yield current
