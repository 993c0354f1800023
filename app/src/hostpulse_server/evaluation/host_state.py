"""What evaluation knows of one host's samples of one origin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hostpulse_server.evaluation.compiled import merged
from hostpulse_server.evaluation.presence import Presence
from hostpulse_server.evaluation.state_machine import AlertStateMachine
from hostpulse_server.evaluation.trend import TrendBuffer, trend
from hostpulse_server.evaluation.window import AggregationWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hostpulse_server.evaluation.compiled import CompiledLayout, CompiledRule, Point
    from hostpulse_server.values.alert import Condition, Reason

    Trend = Callable[[CompiledRule], tuple[float, ...]]

MAX_LANES: Final = 4  # layouts of a host that are known at a time


@dataclass(slots=True)
class EvaluatedSample:
    """The sample being evaluated; ``spacing`` is in every how many samples a series comes."""

    time_ms: int
    interval_ms: int
    points: Sequence[Point]
    plan: CompiledLayout
    spacing: Callable[[CompiledRule], int]


class ActiveAlerts:
    """Machines exist only while there is something to remember, windows while their series do.

    ``changed`` are the machines that may have something to settle.
    """

    __slots__ = ("_server_id", "changed", "machines", "windows")

    def __init__(self, server_id: str) -> None:
        self._server_id = server_id
        self.machines: dict[CompiledRule, AlertStateMachine] = {}
        self.windows: dict[CompiledRule, AggregationWindow] = {}
        self.changed: set[CompiledRule] = set()

    def evaluate(self, sample: EvaluatedSample, values: list[float], odd: Sequence[int]) -> None:
        """Evaluate what has to be computed first, is ``odd``, or was beyond a threshold before.

        ``values`` are those of the layout's watches, not a number where missing; computed ones take
        the place of what they were computed of.
        """
        watches, machines = sample.plan.watches, self.machines
        for number in sample.plan.computed:
            watch, value = watches[number], values[number]
            if value == value:  # noqa: PLR0124 - nan
                value = values[number] = self._compute(watch, sample.time_ms, value)
                if not watch.low <= value <= watch.high:
                    self._step(sample, number, value)
        for number in odd:
            if not watches[number].is_computed:
                self._step(sample, number, values[number])
        for watch in list(machines):
            number = sample.plan.index.get(watch, -1)
            if number >= 0 and machines[watch].time_ms != sample.time_ms:
                self._step(sample, number, values[number])

    def part(self, watch: CompiledRule, time_ms: int, *, is_forgotten: bool) -> None:
        """End what belongs to a series that has stayed away; only what fires if it may return."""
        if is_forgotten:
            self.windows.pop(watch, None)
        machine = self.machines.get(watch)
        if machine is not None and (is_forgotten or machine.phase == "firing"):
            if machine.end(time_ms, "gone"):
                self.changed.add(watch)
            self._discard(watch, machine)

    def settle(self, trend: Trend) -> list[Condition]:
        """Return what has changed since the last call."""
        found: list[Condition] = []
        for watch in sorted(self.changed, key=lambda one: (one.rule.name, one.tags)):
            machine = self.machines[watch]
            if not machine.is_settled:
                found += machine.settle(watch.identity(self._server_id), trend(watch))
            self._discard(watch, machine)
        self.changed.clear()
        return found

    def finish(
        self, watches: Iterable[CompiledRule], time_ms: int, reason: Reason
    ) -> list[Condition]:
        """Return the ends of reported conditions, of the given watches."""
        return [
            machine.ending(watch.identity(self._server_id), time_ms, reason)
            for watch in watches
            if (machine := self.machines.get(watch)) and machine.reported
        ]

    def replace(self, others: Mapping[CompiledRule, CompiledRule]) -> None:
        """Replace watches by others; forget those that are not named."""
        self.changed = {others[one] for one in self.changed if one in others}
        machines, self.machines = self.machines, {}
        for watch, machine in machines.items():
            if watch in others:
                machine.adopt(others[watch].rule)
                self.machines[others[watch]] = machine
        windows, self.windows = self.windows, {}
        for watch, window in windows.items():
            if watch in others and others[watch].gathers == watch.gathers:
                rule = others[watch].rule
                self.windows[others[watch]] = AggregationWindow(
                    rule.over_ms, rule.aggregate, window.pairs
                )

    def _compute(self, watch: CompiledRule, time_ms: int, value: float) -> float:
        """Return what is compared in the place of a value."""
        rule = watch.rule
        if rule.abs:
            value = abs(value)
        if not rule.over_ms:
            return value
        window = self.windows.get(watch)
        if window is None:
            window = self.windows[watch] = AggregationWindow(rule.over_ms, rule.aggregate)
        return window.add(time_ms, value)

    def _step(self, sample: EvaluatedSample, number: int, value: float) -> None:
        if value != value:  # noqa: PLR0124 - nan
            return
        watch = sample.plan.watches[number]
        fields = sample.points[sample.plan.point_of[number]]["fields"]
        is_looked_at = not watch.rule.only_if or watch.looks_at(fields)
        machine = self.machines.get(watch)
        if machine is None:
            if not is_looked_at:
                return
            machine = self.machines[watch] = AlertStateMachine(watch.rule, sample.time_ms)
        max_gap_ms = watch.max_gap_ms(sample.spacing(watch) * sample.interval_ms)
        if machine.step(sample.time_ms, value, is_looked_at=is_looked_at, max_gap_ms=max_gap_ms):
            self.changed.add(watch)
        self._discard(watch, machine)

    def _discard(self, watch: CompiledRule, machine: AlertStateMachine) -> None:
        if machine.is_idle:
            del self.machines[watch]
            self.changed.discard(watch)


class EvaluatedHost:
    """Reads samples, and hands ``standing`` what concerns it.

    ``time_ms`` is the newest sample, -1 before the first.
    """

    __slots__ = ("_lane", "_lanes", "_missing", "_present", "active", "presence", "time_ms")

    def __init__(self, server_id: str) -> None:
        self._lanes: list[TrendBuffer] = []
        self._lane: TrendBuffer | None = None
        self._missing: tuple[int, ...] = ()
        self._present: set[CompiledRule] = set()  # of the last sample, while no buffer is in use
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
        """Return the ends of all reported conditions."""
        return self.active.finish(self.active.machines, self.time_ms, reason)

    def adopt(self, successor: Callable[[CompiledRule], CompiledRule | Reason]) -> list[Condition]:
        """Go on under other rules; return the ends of conditions whose rule is gone."""
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
        """Return the trend buffer of a layout not met lately, or whose points were merged."""
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
