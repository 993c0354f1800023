"""Schedule of samples: at the host's own phase, on the monotonic clock, never in a burst."""

from __future__ import annotations

import zlib
from typing import NamedTuple


def phase(server_id: str, interval: float) -> float:
    """Seconds into every interval at which this host samples, spread evenly over the hosts."""
    return zlib.crc32(server_id.encode()) / 2**32 * interval


class Tick(NamedTuple):
    """``at``: monotonic seconds the tick was due; ``missed``: ticks skipped just before it."""

    at: float
    missed: int


class Schedule:
    """Ticks at ``start + n * interval`` on the monotonic clock."""

    def __init__(self, start: float, interval: float) -> None:
        self._interval = interval
        self._next = start

    @classmethod
    def in_phase(cls, server_id: str, interval: float, wall: float, now: float) -> Schedule:
        """Align the first tick with the wall clock (seconds), at least a tenth interval ahead.

        The distance gives the rates of the first sample something to be measured over.
        """
        ahead = (phase(server_id, interval) - wall) % interval
        if ahead < interval / 10:
            ahead += interval
        return cls(now + ahead, interval)

    def wait(self, now: float) -> float:
        """Seconds from ``now`` to the next tick, 0 when it is due."""
        return max(0.0, self._next - now)

    def take(self, now: float) -> Tick | None:
        """Return the tick that is due, having skipped those already over, or ``None``."""
        if now < self._next:
            return None
        missed = int((now - self._next) // self._interval)
        at = self._next + missed * self._interval
        self._next = at + self._interval
        return Tick(at, missed)
