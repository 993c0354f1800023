"""What evaluation knows of one host's samples of one origin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hostpulse_server.evaluation.active_alerts import ActiveAlerts, EvaluatedSample
from hostpulse_server.evaluation.compiled import merged
from hostpulse_server.evaluation.presence import Presence
from hostpulse_server.evaluation.trend import TrendBuffer, trend

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hostpulse_server.evaluation.compiled import CompiledLayout, CompiledRule, Point
    from hostpulse_server.values.alert import Condition, Reason

MAX_LANES: Final = 4  # layouts of a host that are known at a time


class EvaluatedHost:
    """Reads samples, and gives to ``standing`` what concerns it.

    ``time_ms`` is the newest sample, -1 before the first.
    """

    __slots__ = ("_lane", "_lanes", "_missing", "_present", "active", "presence", "time_ms")

    def __init__(self, server_id: str) -> None:
        self._lanes: list[TrendBuffer] = []
        self._lane: TrendBuffer | None = None
        self._missing: tuple[int, ...] = ()
        self._present: set[CompiledRule] = set()  # of the last sample, while there is no lane
        self.presence = Presence()
        self.active = ActiveAlerts(server_id)
        self.time_ms = -1

    def feed(
        self,
        time_ms: int,
        interval_ms: int,
        points: Sequence[Point],
        compiled: Callable[[Sequence[Point]], CompiledLayout],
    ) -> bool:
        """Evaluate a sample; return False for one that is not newer than the last."""
        if time_ms <= self.time_ms:
            return False
        values: list[float] = []
        odd: list[int] = []
        for lane in self._lanes:
            if lane.plan.read(points, values, odd):
                break
        else:
            points = merged(points)
            lane = self._lane_of(compiled(points))
            lane.plan.read(points, values, odd)
        presence, active = self.presence, self.active
        presence.count += 1
        missing = tuple([n for n in odd if values[n] != values[n]]) if odd else ()
        spacing: Callable[[CompiledRule], int] = presence.spacing
        if lane is not self._lane or missing != self._missing or presence.is_watchful:
            before = self._series()
            self._lane, self._missing = lane, missing
            spacing = presence.update(before, self._series())
        if odd or active.machines or lane.plan.computed:
            active.evaluate(
                EvaluatedSample(time_ms, interval_ms, points, lane.plan, spacing), values, odd
            )
        lane.write(time_ms, values)
        lane.used = presence.count
        if presence.is_due:
            for watch, is_forgotten in presence.parted():
                active.part(watch, time_ms, is_forgotten=is_forgotten)
        self.time_ms = time_ms
        return True

    def settle(self) -> list[Condition]:
        """Return what has changed since the last call."""
        return self.active.settle(lambda watch: trend(self._lanes, watch))

    def finish(self, reason: Reason) -> list[Condition]:
        """Return the ends of all that somebody was told of."""
        return self.active.finish(self.active.machines, self.time_ms, reason)

    def adopt(self, successor: Callable[[CompiledRule], CompiledRule | Reason]) -> list[Condition]:
        """Go on under other rules; return the ends of what none stands behind any more."""
        series = self._series()
        used = {*series, *self.active.machines, *self.active.windows}
        used.update(watch for watch, _ in self.presence.extraordinary())
        found: list[Condition] = []
        others: dict[CompiledRule, CompiledRule] = {}
        for watch in sorted(used, key=lambda one: (one.rule.name, one.tags)):
            other = successor(watch)
            if isinstance(other, str):
                found += self.active.finish([watch], self.time_ms, other)
            else:
                others[watch] = other
        self._lanes, self._lane, self._missing = [], None, ()
        self._present = {others[one] for one in series if one in others}
        self.presence.replace(others)
        self.active.replace(others)
        return found

    def resume(self, watches: set[CompiledRule]) -> None:
        """Take these for the series of the last sample."""
        self._present = watches

    def _lane_of(self, plan: CompiledLayout) -> TrendBuffer:
        """Return the lane of a layout that was not met lately, or whose points were merged."""
        lane = next((one for one in self._lanes if one.plan is plan), None)
        if lane is None:
            lane = TrendBuffer(plan)
            if len(self._lanes) == MAX_LANES:
                self._lanes.remove(min(self._lanes, key=lambda one: one.used))
            self._lanes.append(lane)
        return lane

    def _series(self) -> set[CompiledRule]:
        """Return the series of the last sample."""
        if self._lane is None:
            return self._present
        watches = self._lane.plan.watches
        found = set(watches)
        found.difference_update(watches[n] for n in self._missing)
        return found
