"""Decides up to when data may be deleted for its age: the wall clock may be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hostpulse_server.runtime.clock_steps import ClockSteps

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_server.runtime.clock import Clock

# after a step, or the start, which may follow one; and how long one allowance of AT_ONCE_MS lasts
HOLD_SECONDS: Final = 3600.0
AT_ONCE_MS: Final = 86_400_000


class ExpiryGuard:
    """Of one thread. Everything that deletes by age asks ``cutoff`` each time before it does.

    Nothing goes for an hour after the start or a step of the clock, and never more than a day's
    data an hour: so a clock that is wrong costs little before somebody corrects it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._steps = ClockSteps(clock)
        self._held_until = clock.monotonic() + HOLD_SECONDS
        self._allowances: dict[str, tuple[float, int]] = {}

    def cutoff(self, kind: str, keep_ms: int, oldest: Callable[[], int | None]) -> int | None:
        """Return before when data of ``kind`` may be deleted now; ``None``: nothing may.

        ``keep_ms`` is its retention. ``oldest`` returns the oldest time in the data, ``None`` if
        there is none; it is called about once an hour.
        """
        now_ms = self._clock.now_ms()  # before the look for a step, which then covers it
        now = self._clock.monotonic()
        if self._steps.turn():
            self._held_until = now + HOLD_SECONDS
            self._allowances.clear()
        if now < self._held_until:
            return None
        until, limit_ms = self._allowances.get(kind, (now, 0))
        if now >= until:
            oldest_ms = oldest()
            if oldest_ms is None:
                return None
            limit_ms = oldest_ms + AT_ONCE_MS
            self._allowances[kind] = now + HOLD_SECONDS, limit_ms
        return min(now_ms - keep_ms, limit_ms)
