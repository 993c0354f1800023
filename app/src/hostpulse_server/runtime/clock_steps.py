"""Notices that the wall clock was set: its readings beside those of a monotonic clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hostpulse_server.runtime.clock import Clock

# a wall clock that runs away from the monotonic one by more was set, or the machine slept
STEP_MS: Final = 5_000


class ClockSteps:
    """Of one thread, which asks at least every few seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock.now_ms(), clock.monotonic()

    def turn(self) -> int:
        """Return by how many milliseconds the clock was set since the last call, mostly 0.

        Forward is positive.
        """
        before_ms, before = self._last
        self._last = now_ms, now = self._clock.now_ms(), self._clock.monotonic()
        step_ms = now_ms - before_ms - round((now - before) * 1000)
        return step_ms if abs(step_ms) > STEP_MS else 0
