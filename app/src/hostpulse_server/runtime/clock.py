"""Time as an argument: production passes ``SYSTEM``, tests pass a clock they move themselves."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall and monotonic time."""

    def now_ms(self) -> int:
        """Return the wall clock as epoch milliseconds, UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes backwards."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def now_ms(self) -> int:
        """Return the wall clock as epoch milliseconds, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return seconds of ``CLOCK_MONOTONIC``."""
        return time.monotonic()


SYSTEM = SystemClock()
