"""What holds or waits on a host, and the windows of its rules with ``over``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostpulse_server.evaluation.state_machine import AlertStateMachine
from hostpulse_server.evaluation.window import AggregationWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hostpulse_server.evaluation.compiled import CompiledLayout, CompiledRule, Point
    from hostpulse_server.values.alert import Condition, Reason

    Trend = Callable[[CompiledRule], tuple[float, ...]]


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

        ``values`` are those of the plan's watches, not a number where missing; computed ones take
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
        """Return the ends of those of the watches that somebody was told of."""
        return [
            machine.ending(watch.identity(self._server_id), time_ms, reason)
            for watch in watches
            if (machine := self.machines.get(watch)) and machine.reported
        ]

    def replace(self, others: Mapping[CompiledRule, CompiledRule]) -> None:
        """Go on with other watches in the place of these; forget those that are not named."""
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
