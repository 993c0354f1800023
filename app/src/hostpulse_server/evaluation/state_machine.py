"""The state machine of one rule on one series: levels, each with hysteresis on its own clock.

Everything counts in event time, the times of samples. ``collect_changes`` returns changes, so
that a caller that adds many samples at once gets only what is left of them in the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from hostpulse_server.evaluation.levels import LevelState, fit, marks
from hostpulse_server.values.alert import BY_PEOPLE, Condition

if TYPE_CHECKING:
    from hostpulse_server.rules.model import Rule
    from hostpulse_server.values.alert import AlertIdentity, Reason, Severity

NOTHING_COMPARED: Final = BY_PEOPLE | {"gone"}


class LastReported(NamedTuple):
    """What was collected last."""

    phase: Literal["pending", "firing"]
    severity: Severity
    started_ms: int


class AlertStateMachine:
    """State of an alert. ``phase`` is ``""`` while nothing holds and no clock runs.

    ``time_ms`` is the last sample of the series and ``value`` what was compared then; ``at_ms`` is
    when phase or severity changed last, ``ended_ms`` and ``reason`` are when and how the last
    phase ended.
    """

    __slots__ = (
        "at_ms",
        "ended_ms",
        "levels",
        "phase",
        "reason",
        "reported",
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
        self.ended_ms = 0
        self.reason: Reason = "cleared"
        self.reported: LastReported | None = None

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to remember."""
        return not self.phase and self.reported is None

    @property
    def is_unchanged(self) -> bool:
        """Whether ``collect_changes`` would return nothing."""
        now = self._now()
        return self.reported == now or (
            self.reported is not None and now is not None and _is_same(self.reported, now)
        )

    def step(self, time_ms: int, value: float, *, is_looked_at: bool, max_gap_ms: int) -> bool:
        """Take the next sample of the series; return whether there may be changes to collect.

        ``is_looked_at`` is whether the rule's conditions on other fields are met: without them
        no value is beyond any threshold.
        """
        if time_ms - self.time_ms > max_gap_ms:
            for state in self.levels:
                state.interrupt()
        self.time_ms, self.value = time_ms, value
        keep_ms, looked_at = self.rule.keep_firing_ms, value if is_looked_at else None
        for level, state in zip(self.rule.levels, self.levels, strict=True):
            state.step(level, time_ms, looked_at, keep_ms)
        return self._enter(time_ms, "cleared")

    def end(self, time_ms: int, reason: Reason) -> bool:
        """End whatever holds or waits; return as ``step`` does."""
        self.levels = [LevelState() for _ in self.rule.levels]
        return self._enter(time_ms, reason)

    def adopt(self, rule: Rule) -> None:
        """Go on under another rule of the same name."""
        before = zip(self.rule.levels, marks(self.rule), self.levels, strict=True)
        known = {level.severity: (mark, state) for level, mark, state in before}
        self.levels = fit(rule, known)
        self.rule = rule

    def collect_changes(
        self, identity: AlertIdentity, trend: tuple[float, ...] = ()
    ) -> list[Condition]:
        """Return what has changed since the last call, oldest first."""
        reported, found = self.reported, []
        if (
            reported
            and self.phase != reported.phase
            and (reported.phase == "firing" or not self.phase)
        ):
            found.append(self.ending(identity, self.ended_ms, self.reason, trend))
        now = self._now()
        if reported and now and _is_same(reported, now):
            return found
        if reported and now and reported.phase == now.phase == "firing":
            now = now._replace(started_ms=reported.started_ms)
        if now:
            found.append(
                Condition(
                    identity=identity,
                    phase=now.phase,
                    severity=now.severity,
                    value=float(self.value),
                    threshold=self._threshold(now.severity),
                    started_ms=now.started_ms,
                    at_ms=self.at_ms,
                    trend=trend,
                )
            )
        self.reported = now
        return found

    def ending(
        self,
        identity: AlertIdentity,
        time_ms: int,
        reason: Reason,
        trend: tuple[float, ...] = (),
    ) -> Condition:
        """Return the end of the condition reported last."""
        if self.reported is None:
            raise ValueError("what was not reported has no end")
        return Condition(
            identity=identity,
            phase="resolved" if self.reported.phase == "firing" else "dropped",
            severity=self.reported.severity,
            value=None if reason in NOTHING_COMPARED else float(self.value),
            threshold=self._threshold(self.reported.severity),
            started_ms=self.reported.started_ms,
            at_ms=time_ms,
            reason=reason,
            trend=trend,
        )

    def _now(self) -> LastReported | None:
        return LastReported(self.phase, self.severity, self.started_ms) if self.phase else None

    def _enter(self, time_ms: int, reason: Reason) -> bool:
        """Enter the phase that the levels make up."""
        before = (self.phase, self.severity, self.started_ms)
        holding: Severity | None = None
        waiting: Severity | None = None
        started_ms = time_ms
        for level, state in zip(self.rule.levels, self.levels, strict=True):
            if state.hold:
                holding = level.severity
            if state.begun_ms is not None:
                waiting = level.severity
                started_ms = min(started_ms, state.begun_ms)
        if self.phase and not holding and (self.phase == "firing" or not waiting):
            self.ended_ms, self.reason = time_ms, reason
        if holding:
            if self.phase != "firing":
                self.started_ms = started_ms
            self.phase, self.severity = "firing", holding
        elif waiting:
            self.phase, self.severity, self.started_ms = "pending", waiting, started_ms
        else:
            self.phase = ""
        if (self.phase, self.severity, self.started_ms) == before:
            return False
        self.at_ms = time_ms
        return True

    def _threshold(self, severity: Severity) -> float | None:
        levels = self.rule.levels
        return next((level.threshold for level in levels if level.severity == severity), None)


def _is_same(reported: LastReported, now: LastReported) -> bool:
    """Return whether there is nothing new; a run that begins anew is another pending alert."""
    return reported == now if now.phase == "pending" else reported[:2] == now[:2]
