"""What evaluation knows of one host's samples of one origin."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hostpulse_server.evaluation.compiled import merged
from hostpulse_server.evaluation.presence import GONE_AFTER, Presence
from hostpulse_server.evaluation.state_machine import AlertStateMachine
from hostpulse_server.evaluation.trend import TrendBuffer, trend
from hostpulse_server.evaluation.window import AggregationWindow
from hostpulse_server.values.alert import worse

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from hostpulse_server.evaluation.compiled import CompiledLayout, CompiledRule, Point
    from hostpulse_server.evaluation.state_machine import Transition

_NAN: Final = float("nan")
MAX_BUFFERS: Final = 4  # layouts of a host that are known at a time


@dataclass(slots=True)
class EvaluatedSample:
    """The sample being evaluated; ``spacing`` is in every how many samples a series comes."""

    time_ms: int
    interval_ms: int
    points: Sequence[Point]
    plan: CompiledLayout
    spacing: Callable[[CompiledRule], int]


@dataclass(slots=True)
class SeriesSpan:
    """Since when a series has been known, and when it was seen last before it went away."""

    since_ms: int
    last_ms: int


class ActiveAlerts:
    """Machines exist only while there is something to remember, windows while their series do.

    ``transitions`` are those since they were taken last, by rule; ``changed`` are the machines
    that wait since, or wait otherwise. From ``seen_from_ms`` on every sample is there, ``None`` if
    that has always been so: windows that reach further back are not judged, but for an increase
    that is beyond all thresholds already. ``order`` is the number of the sample that is evaluated.
    ``worst`` is each machine's worst value since it was made; that of one that is idle again stays
    until its end is collected. ``spans`` are of the series that absent rules watch; such a rule has
    a machine while its series is away.
    """

    __slots__ = (
        "changed",
        "machines",
        "order",
        "seen_from_ms",
        "spans",
        "transitions",
        "windows",
        "worst",
    )

    def __init__(self) -> None:
        self.machines: dict[CompiledRule, AlertStateMachine] = {}
        self.windows: dict[CompiledRule, AggregationWindow] = {}
        self.changed: set[CompiledRule] = set()
        self.transitions: dict[CompiledRule, list[Transition]] = {}
        self.worst: dict[CompiledRule, float] = {}
        self.spans: dict[CompiledRule, SeriesSpan] = {}
        self.seen_from_ms: int | None = None
        self.order = 0

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
            if compiled_rule.is_absent:
                is_there = number >= 0 and values[number] == values[number]
                self._step_absent(compiled_rule, sample, is_there=is_there)
            elif number >= 0 and machines[compiled_rule].time_ms != sample.time_ms:
                self._step(sample, number, values[number])

    def track(self, came: set[CompiledRule], went: set[CompiledRule], now: tuple[int, int]) -> None:
        """Note which series came with the sample of ``now``, and went with it: (last, this)."""
        last_ms, time_ms = now
        for compiled_rule in came:
            if compiled_rule.is_absent and compiled_rule not in self.spans:
                self.spans[compiled_rule] = SeriesSpan(time_ms, time_ms)
        for compiled_rule in went:
            if compiled_rule in self.spans:
                self.spans[compiled_rule].last_ms = last_ms

    def part(
        self, compiled_rule: CompiledRule, sample: EvaluatedSample, *, is_forgotten: bool
    ) -> None:
        """End what belongs to a series that has stayed away; only what fires if it may return.

        That is when a rule that watches for its absence begins to count.
        """
        time_ms = sample.time_ms
        if compiled_rule.is_absent:
            self._begin_absent(compiled_rule, sample)
            return
        if is_forgotten:
            self.windows.pop(compiled_rule, None)
        machine = self.machines.get(compiled_rule)
        if machine is not None and (is_forgotten or machine.phase == "firing"):
            self._note(compiled_rule, machine.end(time_ms, "gone"))
            self._discard(compiled_rule, machine)

    def interrupt(self) -> None:
        """Take nothing for granted that the samples of a gap may have ended."""
        self.windows.clear()
        for machine in self.machines.values():
            machine.interrupt()

    def shift(self, delta_ms: int) -> None:
        """Move all remembered times."""
        for machine in self.machines.values():
            machine.shift(delta_ms)
        for window in self.windows.values():
            window.shift(delta_ms)
        for span in self.spans.values():
            span.since_ms += delta_ms
            span.last_ms += delta_ms
        if self.seen_from_ms is not None:
            self.seen_from_ms += delta_ms

    def copy(self) -> ActiveAlerts:
        """Return an independent copy, without the transitions so far."""
        other = ActiveAlerts()
        other.machines = {
            compiled_rule: machine.copy() for compiled_rule, machine in self.machines.items()
        }
        other.windows = {
            compiled_rule: window.copy() for compiled_rule, window in self.windows.items()
        }
        other.seen_from_ms = self.seen_from_ms
        other.worst = dict(self.worst)
        other.spans = {one: dataclasses.replace(span) for one, span in self.spans.items()}
        return other

    def forget_worst(self, compiled_rule: CompiledRule) -> None:
        """Forget the worst value of what is over and collected."""
        if compiled_rule not in self.machines:
            self.worst.pop(compiled_rule, None)

    def replace(self, others: Mapping[CompiledRule, CompiledRule]) -> None:
        """Replace compiled_rules by others; forget those that are not named."""
        self.changed = {others[one] for one in self.changed if one in others}
        self.transitions = {
            others[one]: found for one, found in self.transitions.items() if one in others
        }
        self.worst = {others[one]: value for one, value in self.worst.items() if one in others}
        self.spans = {others[one]: span for one, span in self.spans.items() if one in others}
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
        value = window.add(time_ms, value)
        if self.seen_from_ms is None or time_ms - self.seen_from_ms >= rule.over_ms:
            return value
        return value if value > compiled_rule.certain_above else _NAN

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
            if self.seen_from_ms is not None:
                machine.interrupt()
            self.worst[compiled_rule] = value
        elif is_looked_at:
            direction = compiled_rule.rule.levels[0].direction
            self.worst[compiled_rule] = worse(
                direction, self.worst.get(compiled_rule, value), value
            )
        interval_ms = sample.spacing(compiled_rule) * sample.interval_ms
        self._note(
            compiled_rule,
            machine.step(
                sample.time_ms,
                value,
                is_looked_at=is_looked_at,
                max_gap_ms=compiled_rule.max_gap_ms(interval_ms),
                anew_ms=GONE_AFTER * interval_ms,
            ),
        )
        self._discard(compiled_rule, machine)

    def _begin_absent(self, compiled_rule: CompiledRule, sample: EvaluatedSample) -> None:
        """Begin to count how long a series is away, or forget one that was not there for long."""
        span = self.spans.get(compiled_rule)
        if span is None or compiled_rule in self.machines:
            return
        if span.last_ms - span.since_ms < compiled_rule.rule.present_for_ms:
            del self.spans[compiled_rule]
            return
        self.machines[compiled_rule] = AlertStateMachine(compiled_rule.rule, sample.time_ms)
        self._step_absent(compiled_rule, sample, is_there=False)

    def _step_absent(
        self, compiled_rule: CompiledRule, sample: EvaluatedSample, *, is_there: bool
    ) -> None:
        machine, span = self.machines[compiled_rule], self.spans.get(compiled_rule)
        if not is_there and self.seen_from_ms is not None:
            return  # it may have been back in the gap
        forget_ms = compiled_rule.rule.forget_after_ms
        if not is_there and (span is None or sample.time_ms - span.last_ms >= forget_ms):
            self.spans.pop(compiled_rule, None)
            found = machine.end(sample.time_ms, "gone")
        else:
            found = machine.step(
                sample.time_ms,
                0.0 if is_there else 1.0,
                is_looked_at=True,
                max_gap_ms=compiled_rule.max_gap_ms(sample.interval_ms),
                anew_ms=GONE_AFTER * sample.interval_ms,
            )
        self._note(compiled_rule, found)
        self._discard(compiled_rule, machine)

    def _note(self, compiled_rule: CompiledRule, found: list[Transition] | None) -> None:
        if found is None:
            return
        self.changed.add(compiled_rule)
        if found:
            self.transitions.setdefault(compiled_rule, []).extend(
                one._replace(order=self.order) for one in found
            )

    def _discard(self, compiled_rule: CompiledRule, machine: AlertStateMachine) -> None:
        if machine.is_idle:
            del self.machines[compiled_rule]


class EvaluatedHost:
    """Reads samples in the order of their times, and hands ``active`` what concerns it.

    ``time_ms`` is the newest sample, -1 before the first.
    """

    __slots__ = (
        "_buffer",
        "_buffers",
        "_is_after_gap",
        "_missing",
        "_present",
        "active",
        "presence",
        "time_ms",
    )

    def __init__(self) -> None:
        self._is_after_gap = False
        self._buffers: list[TrendBuffer] = []
        self._buffer: TrendBuffer | None = None
        self._missing: tuple[int, ...] = ()
        self._present: set[CompiledRule] = set()  # of the last sample, while no buffer is in use
        self.presence = Presence()
        self.active = ActiveAlerts()
        self.time_ms = -1

    def add(
        self,
        time_ms: int,
        interval_ms: int,
        points: Sequence[Point],
        compiled: Callable[[Sequence[Point]], CompiledLayout],
        order: int = 0,
    ) -> None:
        """Evaluate a sample, which is newer than the last."""
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
        if self._is_after_gap:
            self._is_after_gap = False
            active.seen_from_ms = time_ms
        presence.count += 1
        active.order = order
        missing = tuple([n for n in odd if values[n] != values[n]]) if odd else ()
        spacing: Callable[[CompiledRule], int] = presence.spacing
        if buffer is not self._buffer or missing != self._missing or presence.is_watchful:
            before = self.series()
            self._buffer, self._missing = buffer, missing
            now = self.series()
            active.track(now - before, before - now, (self.time_ms, time_ms))
            spacing = presence.update(before, now)
        is_due = presence.is_due and active.seen_from_ms is None
        if is_due or odd or active.machines or buffer.plan.computed:
            sample = EvaluatedSample(time_ms, interval_ms, points, buffer.plan, spacing)
            active.evaluate(sample, values, odd)
        buffer.write(time_ms, values)
        buffer.used = presence.count
        if is_due:
            for compiled_rule, is_forgotten in presence.parted():
                active.part(compiled_rule, sample, is_forgotten=is_forgotten)
        self.time_ms = time_ms

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing but windows and trends is remembered: all series come in each sample."""
        is_settled = not self.presence.is_watchful and not any(self.presence.extraordinary())
        return is_settled and not self.active.machines and self.active.seen_from_ms is None

    def trend(self, compiled_rule: CompiledRule) -> tuple[float, ...]:
        """Return the newest values of a series, oldest first."""
        return trend(self._buffers, compiled_rule)

    def interrupt(self) -> None:
        """Take nothing for granted that samples may have changed which are not here yet."""
        self.active.interrupt()
        self._is_after_gap = True

    def shift(self, delta_ms: int) -> None:
        """Move all remembered times, because the clock that they were read from was set."""
        self.time_ms += delta_ms
        self.active.shift(delta_ms)

    def copy(self) -> EvaluatedHost:
        """Return an independent copy, without the transitions so far."""
        other = EvaluatedHost()
        for buffer in self._buffers:
            copied = buffer.copy()
            other._buffers.append(copied)
            if buffer is self._buffer:
                other._buffer = copied
        other._missing, other._present = self._missing, self._present
        other.presence, other.active = self.presence.copy(), self.active.copy()
        other.time_ms = self.time_ms
        return other

    def compiled_rules(self) -> set[CompiledRule]:
        """Return all that anything is known of."""
        return {
            *self.series(),
            *self.active.machines,
            *self.active.windows,
            *self.active.transitions,
            *self.active.spans,
            *(compiled_rule for compiled_rule, _ in self.presence.extraordinary()),
        }

    def has_any(self, measurements: Collection[str]) -> bool:
        """Return whether any layout known has one of these measurements."""
        return any(not one.plan.measurements.isdisjoint(measurements) for one in self._buffers)

    def replace(self, others: dict[CompiledRule, CompiledRule]) -> None:
        """Go on under other rules; forget what is not named. Trends begin anew."""
        series = self.series()
        self._buffers, self._buffer, self._missing = [], None, ()
        self._present = {others[one] for one in series if one in others}
        self.presence.replace(others)
        self.active.replace(others)

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

    def series(self) -> set[CompiledRule]:
        """Return the series of the last sample."""
        if self._buffer is None:
            return self._present
        compiled_rules = self._buffer.plan.compiled_rules
        found = set(compiled_rules)
        found.difference_update(compiled_rules[n] for n in self._missing)
        return found
