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

MAX_BUFFERS: Final = 4  # layouts of a host that are known at a time


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

    ``changed`` are the machines that may have changes to collect.
    """

    __slots__ = ("_server_id", "changed", "machines", "windows")

    def __init__(self, server_id: str) -> None:
        self._server_id = server_id
        self.machines: dict[CompiledRule, AlertStateMachine] = {}
        self.windows: dict[CompiledRule, AggregationWindow] = {}
        self.changed: set[CompiledRule] = set()

    def evaluate(self, sample: EvaluatedSample, values: list[float], odd: Sequence[int]) -> None:
        """Evaluate what has to be computed first, is ``odd``, or was beyond a threshold before.

        ``values`` are those of the layout's rules, not a number where missing; computed ones take
        the place of what they were computed of.
        """
        compiled_rules, machines = sample.plan.compiled_rules, self.machines
        for number in sample.plan.computed:
            compiled_rule, value = compiled_rules[number], values[number]
            if value == value:  # noqa: PLR0124 - nan
                value = values[number] = self._compute(compiled_rule, sample.time_ms, value)
                if not compiled_rule.low <= value <= compiled_rule.high:
                    self._step(sample, number, value)
        for number in odd:
            if not compiled_rules[number].is_computed:
                self._step(sample, number, values[number])
        for compiled_rule in list(machines):
            number = sample.plan.index.get(compiled_rule, -1)
            if number >= 0 and machines[compiled_rule].time_ms != sample.time_ms:
                self._step(sample, number, values[number])

    def part(self, compiled_rule: CompiledRule, time_ms: int, *, is_forgotten: bool) -> None:
        """End what belongs to a series that has stayed away; only what fires if it may return."""
        if is_forgotten:
            self.windows.pop(compiled_rule, None)
        machine = self.machines.get(compiled_rule)
        if machine is not None and (is_forgotten or machine.phase == "firing"):
            if machine.end(time_ms, "gone"):
                self.changed.add(compiled_rule)
            self._discard(compiled_rule, machine)

    def collect_changes(self, trend: Trend) -> list[Condition]:
        """Return what has changed since the last call."""
        found: list[Condition] = []
        for compiled_rule in sorted(self.changed, key=lambda one: (one.rule.name, one.tags)):
            machine = self.machines[compiled_rule]
            if not machine.is_unchanged:
                found += machine.collect_changes(
                    compiled_rule.identity(self._server_id), trend(compiled_rule)
                )
            self._discard(compiled_rule, machine)
        self.changed.clear()
        return found

    def finish(
        self, compiled_rules: Iterable[CompiledRule], time_ms: int, reason: Reason
    ) -> list[Condition]:
        """Return the ends of reported conditions, of the given rules."""
        return [
            machine.ending(compiled_rule.identity(self._server_id), time_ms, reason)
            for compiled_rule in compiled_rules
            if (machine := self.machines.get(compiled_rule)) and machine.reported
        ]

    def replace(self, others: Mapping[CompiledRule, CompiledRule]) -> None:
        """Replace compiled rules by others; forget those that are not named."""
        self.changed = {others[one] for one in self.changed if one in others}
        machines, self.machines = self.machines, {}
        for compiled_rule, machine in machines.items():
            if compiled_rule in others:
                machine.adopt(others[compiled_rule].rule)
                self.machines[others[compiled_rule]] = machine
        windows, self.windows = self.windows, {}
        for compiled_rule, window in windows.items():
            if compiled_rule in others and others[compiled_rule].gathers == compiled_rule.gathers:
                rule = others[compiled_rule].rule
                self.windows[others[compiled_rule]] = AggregationWindow(
                    rule.over_ms, rule.aggregate, window.pairs
                )

    def _compute(self, compiled_rule: CompiledRule, time_ms: int, value: float) -> float:
        """Return what is compared in the place of a value."""
        rule = compiled_rule.rule
        if rule.abs:
            value = abs(value)
        if not rule.over_ms:
            return value
        window = self.windows.get(compiled_rule)
        if window is None:
            window = self.windows[compiled_rule] = AggregationWindow(rule.over_ms, rule.aggregate)
        return window.add(time_ms, value)

    def _step(self, sample: EvaluatedSample, number: int, value: float) -> None:
        if value != value:  # noqa: PLR0124 - nan
            return
        compiled_rule = sample.plan.compiled_rules[number]
        fields = sample.points[sample.plan.point_of[number]]["fields"]
        is_looked_at = not compiled_rule.rule.only_if or compiled_rule.looks_at(fields)
        machine = self.machines.get(compiled_rule)
        if machine is None:
            if not is_looked_at:
                return
            machine = self.machines[compiled_rule] = AlertStateMachine(
                compiled_rule.rule, sample.time_ms
            )
        max_gap_ms = compiled_rule.max_gap_ms(sample.spacing(compiled_rule) * sample.interval_ms)
        if machine.step(sample.time_ms, value, is_looked_at=is_looked_at, max_gap_ms=max_gap_ms):
            self.changed.add(compiled_rule)
        self._discard(compiled_rule, machine)

    def _discard(self, compiled_rule: CompiledRule, machine: AlertStateMachine) -> None:
        if machine.is_idle:
            del self.machines[compiled_rule]
            self.changed.discard(compiled_rule)


class EvaluatedHost:
    """Reads samples, and hands ``standing`` what concerns it.

    ``time_ms`` is the newest sample, -1 before the first.
    """

    __slots__ = ("_buffer", "_buffers", "_missing", "_present", "active", "presence", "time_ms")

    def __init__(self, server_id: str) -> None:
        self._buffers: list[TrendBuffer] = []
        self._buffer: TrendBuffer | None = None
        self._missing: tuple[int, ...] = ()
        self._present: set[CompiledRule] = set()  # of the last sample, while no buffer is in use
        self.presence = Presence()
        self.active = ActiveAlerts(server_id)
        self.time_ms = -1

    def add(
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
        for buffer in self._buffers:
            if buffer.plan.read(points, values, odd):
                break
        else:
            points = merged(points)
            buffer = self._buffer_of(compiled(points))
            buffer.plan.read(points, values, odd)
        presence, active = self.presence, self.active
        presence.count += 1
        missing = tuple([n for n in odd if values[n] != values[n]]) if odd else ()
        spacing: Callable[[CompiledRule], int] = presence.spacing
        if buffer is not self._buffer or missing != self._missing or presence.is_watchful:
            before = self._series()
            self._buffer, self._missing = buffer, missing
            spacing = presence.update(before, self._series())
        if odd or active.machines or buffer.plan.computed:
            active.evaluate(
                EvaluatedSample(time_ms, interval_ms, points, buffer.plan, spacing), values, odd
            )
        buffer.write(time_ms, values)
        buffer.used = presence.count
        if presence.is_due:
            for compiled_rule, is_forgotten in presence.parted():
                active.part(compiled_rule, time_ms, is_forgotten=is_forgotten)
        self.time_ms = time_ms
        return True

    def collect_changes(self) -> list[Condition]:
        """Return what has changed since the last call."""
        return self.active.collect_changes(
            lambda compiled_rule: trend(self._buffers, compiled_rule)
        )

    def finish(self, reason: Reason) -> list[Condition]:
        """Return the ends of all reported conditions."""
        return self.active.finish(self.active.machines, self.time_ms, reason)

    def adopt(self, successor: Callable[[CompiledRule], CompiledRule | Reason]) -> list[Condition]:
        """Go on under other rules; return the ends of conditions whose rule is gone."""
        series = self._series()
        used = {*series, *self.active.machines, *self.active.windows}
        used.update(compiled_rule for compiled_rule, _ in self.presence.extraordinary())
        found: list[Condition] = []
        others: dict[CompiledRule, CompiledRule] = {}
        for compiled_rule in sorted(used, key=lambda one: (one.rule.name, one.tags)):
            other = successor(compiled_rule)
            if isinstance(other, str):
                found += self.active.finish([compiled_rule], self.time_ms, other)
            else:
                others[compiled_rule] = other
        self._buffers, self._buffer, self._missing = [], None, ()
        self._present = {others[one] for one in series if one in others}
        self.presence.replace(others)
        self.active.replace(others)
        return found

    def resume(self, compiled_rules: set[CompiledRule]) -> None:
        """Take these for the series of the last sample."""
        self._present = compiled_rules

    def _buffer_of(self, plan: CompiledLayout) -> TrendBuffer:
        """Return the trend buffer of a layout not met lately, or whose points were merged."""
        buffer = next((one for one in self._buffers if one.plan is plan), None)
        if buffer is None:
            buffer = TrendBuffer(plan)
            if len(self._buffers) == MAX_BUFFERS:
                self._buffers.remove(min(self._buffers, key=lambda one: one.used))
            self._buffers.append(buffer)
        return buffer

    def _series(self) -> set[CompiledRule]:
        """Return the series of the last sample."""
        if self._buffer is None:
            return self._present
        compiled_rules = self._buffer.plan.compiled_rules
        found = set(compiled_rules)
        found.difference_update(compiled_rules[n] for n in self._missing)
        return found
