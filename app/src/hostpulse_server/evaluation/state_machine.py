"""The state machine of one rule on one series: levels, each with hysteresis on its own clock.

Everything counts in event time, the times of samples. Each step returns what it changed, so that
what began and ended between two looks leaves its trace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from hostpulse_server.evaluation.levels import UNJUDGED, LevelState, fit, marks
from hostpulse_server.values.alert import BY_PEOPLE

if TYPE_CHECKING:
    from hostpulse_server.rules.model import Rule
    from hostpulse_server.values.alert import Phase, Reason, Severity

NOTHING_COMPARED: Final = BY_PEOPLE | {"gone"}


class Transition(NamedTuple):
    """A change of an alert at a sample, as ``values.alert.Condition`` has it.

    ``severity`` and ``started_ms`` of an end are those of what ended. ``order`` is the number of
    the sample in its stream: times say nothing of the order where a clock was set.
    """

    phase: Phase
    severity: Severity
    started_ms: int
    at_ms: int
    value: float | None
    reason: Reason | Literal[""] = ""
    order: int = 0


class LastReported(NamedTuple):
    """What was reported last; ``fired_ms`` is when it began to fire, 0 while it waits."""

    phase: Literal["pending", "firing"]
    severity: Severity
    started_ms: int
    fired_ms: int = 0


class AlertStateMachine:
    """State of an alert. ``phase`` is ``""`` while nothing holds and no clock runs.

    ``time_ms`` is the last sample of the series and ``value`` what was compared then; ``at_ms`` is
    when phase or severity changed last.
    """

    __slots__ = (
        "at_ms",
        "levels",
        "phase",
        "rule",
        "severity",
        "started_ms",
        "time_ms",
        "value",
    )

    def __init__(self, rule: Rule, time_ms: int) -> None:
        self.rule = rule
        self.levels = [LevelState() for _ in rule.levels]
        self.time_ms = time_ms
        self.value: float = 0.0
        self.phase: Literal["", "pending", "firing"] = ""
        self.severity: Severity = "info"
        self.started_ms = 0
        self.at_ms = 0

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to remember."""
        return not self.phase

    def step(
        self, time_ms: int, value: float, *, is_looked_at: bool, max_gap_ms: int, anew_ms: int
    ) -> list[Transition] | None:
        """Take the next sample of the series; return its transitions, ``None`` without a change.

        ``is_looked_at`` is whether the rule's conditions on other fields are met: without them
        no value is beyond any threshold. Of a gap over ``max_gap_ms`` nothing is counted; one over
        ``anew_ms``, or over a level's ``for`` where that is more, starts that level anew.
        """
        gap_ms = time_ms - self.time_ms
        if gap_ms > max_gap_ms:
            for level, state in zip(self.rule.levels, self.levels, strict=True):
                if gap_ms > max(level.for_ms, anew_ms):
                    state.interrupt()
                else:
                    state.skip(gap_ms)
        self.time_ms, self.value = time_ms, value
        # what ends by this sample under another rule than it fired under ends by that
        is_changed = any(state.hold == UNJUDGED for state in self.levels)
        keep_ms, looked_at = self.rule.keep_firing_ms, value if is_looked_at else None
        for level, state in zip(self.rule.levels, self.levels, strict=True):
            state.step(level, time_ms, looked_at, keep_ms)
        return self._enter(time_ms, "rule_changed" if is_changed else "cleared")

    def end(self, time_ms: int, reason: Reason) -> list[Transition] | None:
        """End whatever holds or waits; return as ``step`` does."""
        self.levels = [LevelState() for _ in self.rule.levels]
        return self._enter(time_ms, reason)

    def adopt(self, rule: Rule) -> None:
        """Go on under another rule of the same name."""
        before = zip(self.rule.levels, marks(self.rule), self.levels, strict=True)
        known = {level.severity: (mark, state) for level, mark, state in before}
        self.levels = fit(rule, known)
        self.rule = rule

    def interrupt(self) -> None:
        """Break all runs, and take any level for one that may hold; what fires goes on firing."""
        for state in self.levels:
            state.interrupt()
            state.may_hold = True

    def shift(self, delta_ms: int) -> None:
        """Move all remembered times, because the clock that they were read from was set."""
        self.time_ms += delta_ms
        self.started_ms += delta_ms
        self.at_ms += delta_ms
        for state in self.levels:
            state.shift(delta_ms)

    def copy(self) -> AlertStateMachine:
        """Return one in the same state, independent of this one."""
        other = AlertStateMachine(self.rule, self.time_ms)
        other.value, other.phase, other.severity = self.value, self.phase, self.severity
        other.started_ms, other.at_ms = self.started_ms, self.at_ms
        other.levels = [state.copy() for state in self.levels]
        return other

    def standing(self) -> LastReported | None:
        """Return how the alert stands; what was reported of it may be something else."""
        return LastReported(self.phase, self.severity, self.started_ms) if self.phase else None

    def _enter(self, time_ms: int, reason: Reason) -> list[Transition] | None:
        """Enter the phase that the levels make up."""
        before = self.phase, self.severity, self.started_ms
        holding, waiting, begun_ms = self._levels(time_ms)
        if holding:
            if self.phase != "firing":
                self.started_ms = begun_ms
            self.phase, self.severity = "firing", holding
        elif waiting:
            self.phase, self.severity, self.started_ms = "pending", waiting, begun_ms
        else:
            self.phase = ""
        if (self.phase, self.severity, self.started_ms) == before:
            return None
        self.at_ms = time_ms
        return self._transitions(before, reason)

    def _levels(self, time_ms: int) -> tuple[Severity | None, Severity | None, int]:
        """Return the highest level that holds, the highest whose clock runs, and since when."""
        holding: Severity | None = None
        waiting: Severity | None = None
        begun_ms = time_ms
        for level, state in zip(self.rule.levels, self.levels, strict=True):
            if state.hold:
                holding = level.severity
            if state.begun_ms is not None:
                waiting = level.severity
                begun_ms = min(begun_ms, state.begun_ms)
        if self.phase == "firing" and not holding and any(one.may_hold for one in self.levels):
            holding = self.severity  # only what is certain is an end
        return holding, waiting, begun_ms

    def _transitions(
        self, before: tuple[Literal["", "pending", "firing"], Severity, int], reason: Reason
    ) -> list[Transition]:
        """Return what has changed at ``at_ms``."""
        phase, severity, started_ms = before
        found = []
        if (phase == "firing" and self.phase != "firing") or (phase and not self.phase):
            value = None if reason in NOTHING_COMPARED else float(self.value)
            over: Phase = "resolved" if phase == "firing" else "dropped"
            found.append(Transition(over, severity, started_ms, self.at_ms, value, reason))
        if self.phase == "firing" and (phase, severity) != ("firing", self.severity):
            value = float(self.value)
            found.append(Transition("firing", self.severity, self.started_ms, self.at_ms, value))
        return found


def threshold_of(rule: Rule, severity: Severity) -> float | None:
    """Return the threshold of a rule's level, ``None`` where it has none of that severity."""
    if rule.is_absent:
        return None
    return next((level.threshold for level in rule.levels if level.severity == severity), None)
