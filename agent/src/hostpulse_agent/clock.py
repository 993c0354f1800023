"""The host's clocks, and the server's clock as an estimate from its responses."""

from __future__ import annotations

import time

from hostpulse_agent.kernel_clock import KernelClock

CORRECT_ABOVE_MS = 60_000.0
LATEST_MS = 2.0**53
SLOW_ANSWER_MS = 10_000.0


def server_time_ms(answer: object) -> float:
    """Return the time that an answer of the server gives; raise ``ValueError`` if it gives none."""
    value = answer.get("server_time") if isinstance(answer, dict) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("no server_time")  # noqa: TRY004 -- as text that is no JSON
    if not 0 <= value <= LATEST_MS:  # nor what JSON has no form for, and Python reads
        raise ValueError("server_time is no time")
    return float(value)


class Clock:
    """The host's clocks; tests inject their own.

    ``boot_ms`` counts suspended time, unlike ``monotonic``, and never steps, unlike ``wall_ms``.
    """

    def __init__(self) -> None:
        self._kernel = KernelClock(self.boot_ms)

    def wall_ms(self) -> float:
        """Milliseconds since the epoch by the host's wall clock."""
        return time.time() * 1000.0

    def monotonic(self) -> float:
        """Seconds, for schedules and rates."""
        return time.monotonic()

    def boot_ms(self) -> float:
        """Milliseconds since boot, suspended time included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) * 1000.0

    def is_synchronised(self) -> bool | None:
        """Whether the kernel says that the wall clock is kept right; ``None``: not known."""
        return self._kernel.get()


class ServerClock:
    """The server's clock, estimated from its responses.

    Stored relative to the boot clock: a step of the host's wall clock changes the reported offset
    at once, without a new response, but never a corrected time.
    """

    def __init__(self, clock: Clock, server_minus_boot_ms: float | None = None) -> None:
        self._clock = clock
        self.server_minus_boot_ms = server_minus_boot_ms

    def observe(self, server_ms: float, sent_boot_ms: float, received_boot_ms: float) -> None:
        """Update the estimate; the server's time is taken as midway from sending to receiving.

        A slow response is imprecise, so it counts only while there is no estimate.
        """
        slow = received_boot_ms - sent_boot_ms > SLOW_ANSWER_MS
        if slow and self.server_minus_boot_ms is not None:
            return
        self.server_minus_boot_ms = server_ms - (sent_boot_ms + received_boot_ms) / 2.0

    def offset_ms(self) -> float | None:
        """Server's clock minus the host's (positive: the host is behind); ``None``: unknown."""
        if self.server_minus_boot_ms is None:
            return None
        return self._clock.boot_ms() + self.server_minus_boot_ms - self._clock.wall_ms()

    def stamp_ms(self) -> int:
        """Timestamp of a sample taken now: the host's time, or the server's if far apart.

        A host whose clock is synchronised keeps its own time: then the server's is wrong, and it
        would make the samples of every host wrong.
        """
        wall, offset = self._clock.wall_ms(), self.offset_ms()
        if offset is None or not self.is_far_off() or self._clock.is_synchronised():
            return int(wall)
        return int(wall + offset)

    def is_far_off(self) -> bool:
        """Whether the two clocks are further apart than any delay explains."""
        return abs(self.offset_ms() or 0.0) > CORRECT_ABOVE_MS

    def is_wrong(self) -> bool:
        """Whether the server's clock is far off, and the host's is known to be right."""
        return self.is_far_off() and bool(self._clock.is_synchronised())
