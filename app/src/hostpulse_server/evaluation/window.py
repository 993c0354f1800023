"""The values of a stretch of time, aggregated as each one comes."""

from __future__ import annotations

from array import array
from itertools import chain
from math import fsum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Aggregate = Literal["mean", "min", "max"]


class AggregationWindow:
    """Values of the last ``over_ms``: those with t - over < time ≤ t, as many as there are.

    Times and values alternate in one piece of memory: of thousands of hosts, no window is in the
    processor's caches when its next value comes.
    """

    __slots__ = ("_pairs", "aggregate", "over_ms")

    def __init__(
        self, over_ms: int, aggregate: Aggregate, pairs: Iterable[tuple[float, float]] = ()
    ) -> None:
        self.over_ms = over_ms
        self.aggregate = aggregate
        self._pairs = array("d", chain.from_iterable(pairs))

    @property
    def pairs(self) -> list[tuple[int, float]]:
        """Time and value of what is there, oldest first."""
        numbers = iter(self._pairs)
        return [(int(time_ms), value) for time_ms, value in zip(numbers, numbers, strict=True)]

    def shift(self, delta_ms: int) -> None:
        """Move all times."""
        pairs = self._pairs
        for index in range(0, len(pairs), 2):
            pairs[index] += delta_ms

    def copy(self) -> AggregationWindow:
        """Return an independent copy."""
        other = AggregationWindow(self.over_ms, self.aggregate)
        other._pairs = self._pairs[:]
        return other

    def add(self, time_ms: int, value: float) -> float:
        """Take a value newer than all others and return the aggregate."""
        pairs = self._pairs
        oldest = time_ms - self.over_ms
        if pairs and pairs[0] <= oldest:
            count = 2
            while count < len(pairs) and pairs[count] <= oldest:
                count += 2
            del pairs[:count]
        pairs.append(time_ms)
        pairs.append(value)
        values = pairs[1::2]
        if self.aggregate == "max":
            return max(values)
        if self.aggregate == "min":
            return min(values)
        # rounding must not carry the mean of equal values past them, and so past a threshold
        return min(max(fsum(values) / len(values), min(values)), max(values))
