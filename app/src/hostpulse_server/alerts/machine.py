"""The state machine of one rule on one series: levels, each with hysteresis on its own clock.

Everything counts in event time, the times of samples. What has changed is told by ``settle``, so
that whoever feeds many samples at once hears only of what is left of them in the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from hostpulse_server.alerts.evaluation.levels import LevelState, fit, marks
from hostpulse_server.alerts.model import BY_PEOPLE, Condition

if TYPE_CHECKING:
    from hostpulse_server.alerts.model import Identity, Reason, Severity
    from hostpulse_server.alerts.rules.model import Rule

NOTHING_COMPARED: Final = BY_PEOPLE | {"gone"}


class Told(NamedTuple):
    """What was settled last."""

    phase: Literal["pending", "firing"]
    severity: Severity
    started_ms: int


class Machine:
    """State of an alert. ``phase`` is ``""`` while nothing holds and no clock runs.

    ``time_ms`` is the last sample of the series and ``value`` what was compared then; ``at_ms`` is
    when phase or severity changed last, ``ended_ms`` and ``reason`` say how the last phase ended.
    """

    __slots__ = (
        "at_ms",
        "ended_ms",
        "levels",
        "phase",
        "reason",
        "rule",
        "severity",
        "started_ms",
        "time_ms",
        "told",
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
        self.told: Told | None = None

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to remember."""
        return not self.phase and self.told is None

    @property
    def is_settled(self) -> bool:
        """Whether ``settle`` would return nothing."""
        now = self._now()
        return self.told == now or (
            self.told is not None and now is not None and _is_same(self.told, now)
        )

    def step(self, time_ms: int, value: float, *, is_looked_at: bool, max_gap_ms: int) -> bool:
        """Take the next sample of the series; return whether there may be something to settle.

        ``is_looked_at`` tells whether the rule's conditions on other fields are met: without them
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

    def settle(self, identity: Identity, trend: tuple[float, ...] = ()) -> list[Condition]:
        """Return what has changed since the last call, oldest first."""
        told, found = self.told, []
        if told and self.phase != told.phase and (told.phase == "firing" or not self.phase):
            found.append(self.ending(identity, self.ended_ms, self.reason, trend))
        now = self._now()
        if told and now and _is_same(told, now):
            return found
        if told and now and told.phase == now.phase == "firing":
            now = now._replace(started_ms=told.started_ms)
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
        self.told = now
        return found

    def ending(
        self,
        identity: Identity,
        time_ms: int,
        reason: Reason,
        trend: tuple[float, ...] = (),
    ) -> Condition:
        """Return the end of what was told last."""
        if self.told is None:
            raise ValueError("what nobody was told of has no end")
        return Condition(
            identity=identity,
            phase="resolved" if self.told.phase == "firing" else "dropped",
            severity=self.told.severity,
            value=None if reason in NOTHING_COMPARED else float(self.value),
            threshold=self._threshold(self.told.severity),
            started_ms=self.told.started_ms,
            at_ms=time_ms,
            reason=reason,
            trend=trend,
        )

    def _now(self) -> Told | None:
        return Told(self.phase, self.severity, self.started_ms) if self.phase else None

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


def _is_same(told: Told, now: Told) -> bool:
    """Tell whether there is nothing new; a run that begins anew is another pending alert."""
    return told == now if now.phase == "pending" else told[:2] == now[:2]
