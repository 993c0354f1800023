"""Rates from counters, over the real elapsed time; no rate where none can be known."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence


class Change(NamedTuple):
    """Change of counters since the last reading.

    ``deltas`` has one entry per counter; None marks one that went backwards (a reset or a wrap).
    """

    seconds: float
    deltas: tuple[int | None, ...]

    def rate(self, index: int) -> float | None:
        """Return the counter's change per second, or None."""
        delta = self.deltas[index]
        return None if delta is None else delta / self.seconds


class Counters:
    """The last reading of each set of counters, by key."""

    def __init__(self) -> None:
        """Start without any reading."""
        self._last: dict[Hashable, tuple[float, Sequence[int]]] = {}

    def change(self, key: Hashable, at: float, values: Sequence[int]) -> Change | None:
        """Record ``values`` read at monotonic ``at`` (seconds); return the change.

        None for a first reading, for one of another shape, and where no time has passed.
        """
        last = self._last.get(key)
        if last is not None and at <= last[0]:
            return None
        self._last[key] = (at, values)
        if last is None or len(last[1]) != len(values):
            return None
        pairs = zip(values, last[1])
        return Change(at - last[0], tuple([a - b if a >= b else None for a, b in pairs]))

    def keep(self, keys: Iterable[Hashable]) -> None:
        """Forget all other keys, so that a device that returns starts without a rate."""
        if len(self._last) > 0:
            wanted = set(keys)
            for gone in [key for key in self._last if key not in wanted]:
                del self._last[gone]


def put_rates(fields: dict[str, float], names: Sequence[str], change: Change | None) -> None:
    """Add ``names[i]`` = rate of counter ``i`` wherever that rate is known."""
    if change is None:
        return
    for name, delta in zip(names, change.deltas):
        if delta is not None:
            fields[name] = delta / change.seconds
