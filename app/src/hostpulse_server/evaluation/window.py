"""The values of a stretch of time, aggregated as each one comes."""

from __future__ import annotations

from array import array
from itertools import chain, pairwise
from math import fsum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Aggregate = Literal["mean", "min", "max", "increase"]


class AggregationWindow:
    """Values of the last ``over_ms``: those with t - over < time ≤ t, as many as there are.

    Times and values alternate in one piece of memory: of thousands of hosts, no window is in the
    processor's caches when its next value comes.

    Of an increase, those are there that differ from the one before, and the newest that is older
    than that, from which the others are counted.
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
        if self.aggregate == "increase":
            return self._increase(time_ms, value)
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

    def _increase(self, time_ms: int, value: float) -> float:
        """Take a value of a counter; one that is less than the one before was set to 0."""
        pairs = self._pairs
        if not pairs or pairs[-1] != value:
            pairs.append(time_ms)
            pairs.append(value)
        if len(pairs) == 2:  # noqa: PLR2004 - a time and a value
            return 0.0
        oldest, count = time_ms - self.over_ms, 0
        while count + 2 < len(pairs) and pairs[count + 2] <= oldest:
            count += 2
        del pairs[:count]
        values = pairs[1::2]
        return fsum(new - old if new >= old else max(new, 0.0) for old, new in pairwise(values))
