"""Which stored samples need no evaluation: nothing is beyond a limit, and nothing was before."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostpulse_server.evaluation.compiled import CompiledLayout, CompiledRule
    from hostpulse_server.rule_testing.sample_history import Stretch


class CalmStretches:
    """What was passed over of one server, as much of it as windows hold.

    Values within all limits leave nothing behind where nothing was before, but in windows. So a
    stretch of them is passed over once all that the windows hold is like that, too; before the
    next stretch that is evaluated come the samples that refill the windows.
    """

    def __init__(self, longest_over_ms: int) -> None:
        self._over_ms = longest_over_ms
        self._before: Stretch | None = None
        self._calm_from_ms: int | None = None
        self._passed: list[Stretch] = []

    def may_pass(self, stretch: Stretch, layout: CompiledLayout) -> bool:
        """Return whether a stretch is calm, and so is all that windows hold when it begins.

        The layout is that of its samples, and every stretch is asked for in turn.
        """
        before, self._before = self._before, stretch
        if before is None or before.series != stretch.series or not before.is_even:
            self._calm_from_ms = None
        if not (stretch.is_even and _is_calm(stretch, layout, before)):
            self._calm_from_ms = None
            return False
        if self._calm_from_ms is None:
            self._calm_from_ms = stretch.start_ms
            return False
        return stretch.start_ms - self._calm_from_ms > self._over_ms

    def passed(self, stretch: Stretch) -> None:
        """Note that a stretch was passed over."""
        needed_ms = stretch.start_ms - self._over_ms
        self._passed = [one for one in self._passed if one.end_ms >= needed_ms]
        self._passed.append(stretch)

    def refill(self, start_ms: int) -> tuple[list[Stretch], int]:
        """Return what was passed over and is to be evaluated now, and from which time on."""
        passed, self._passed = self._passed, []
        return passed, start_ms - self._over_ms


def _is_calm(stretch: Stretch, layout: CompiledLayout, before: Stretch | None) -> bool:
    columns = {
        (column.measurement, column.tags, column.field): (column.values, last)
        for column, last in zip(stretch.columns, _last(stretch, before), strict=True)
    }
    for rule in layout.compiled_rules:
        values, last = columns.get((rule.rule.measurement, rule.tags, rule.rule.field), ((), None))
        if values and not _is_within(rule, values, last):
            return False
    return True


def _last(stretch: Stretch, before: Stretch | None) -> list[float | None]:
    """Return the last value before a stretch of each of its series."""
    if before is None or before.series != stretch.series:
        return [None] * len(stretch.columns)
    return [column.values[-1] for column in before.columns]


def _is_within(compiled: CompiledRule, values: Sequence[float], last: float | None) -> bool:
    """Return whether a rule is not concerned by any of these values, ``last`` the one before."""
    rule = compiled.rule
    least, most = min(values), max(values)
    if rule.over_ms and rule.aggregate == "increase":
        return least == most == last and compiled.low == -inf and compiled.high >= 0
    if rule.abs:
        most = max(-least, most)
        least = min(map(abs, values))
    # what is aggregated of such values is never beyond them
    return compiled.low <= least and most <= compiled.high
