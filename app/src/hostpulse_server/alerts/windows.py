"""The values of a stretch of time, aggregated as each one comes."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Aggregate = Literal["mean", "min", "max"]


class Window:
    """Values of the last ``over_ms``: those with t - over < time ≤ t, as many as there are."""

    __slots__ = ("aggregate", "over_ms", "times", "values")

    def __init__(
        self,
        over_ms: int,
        aggregate: Aggregate,
        times: Sequence[int] = (),
        values: Sequence[float] = (),
    ) -> None:
        self.over_ms = over_ms
        self.aggregate = aggregate
        self.times = list(times)
        self.values = list(values)

    def add(self, time_ms: int, value: float) -> float:
        """Take a value newer than all others and return the aggregate."""
        times, values = self.times, self.values
        times.append(time_ms)
        values.append(value)
        oldest = time_ms - self.over_ms
        if times[0] <= oldest:
            count = next(n for n, at in enumerate(times) if at > oldest)
            del times[:count], values[:count]
        if self.aggregate == "max":
            return max(values)
        if self.aggregate == "min":
            return min(values)
        # rounding must not carry the mean of equal values past them, and so past a threshold
        return min(max(fsum(values) / len(values), min(values)), max(values))
