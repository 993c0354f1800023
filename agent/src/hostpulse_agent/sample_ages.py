"""How old spooled samples are, whatever the host's clock said, and which may go for their age."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_agent.clock import Clock

STEP_MS = 60_000.0
HOLD_MS = 3_600_000.0  # after a step or the start; and how long an allowance of AT_ONCE_MS lasts
AT_ONCE_MS = 86_400_000.0
MAX_OFFSETS = 32


class SampleAges:
    """Reads the timestamps of samples beside the boot clock, which is never set.

    ``offsets`` are (id of a row, timestamp minus boot clock from that row on), so that rows of
    this boot keep their ages when the timestamps step. Those of another boot have only their
    timestamps. Nothing goes for its age within an hour of the start or of a step, and never more
    than a day's samples an hour.
    """

    def __init__(self, clock: Clock, boot_id: str, data: dict[str, Any] | None = None) -> None:
        self._clock = clock
        self._boot_id = boot_id
        self._offsets: list[tuple[int, float]] = []
        if data and boot_id and data.get("boot_id") == boot_id:
            self._offsets = [
                (int(first), float(offset)) for first, offset in data.get("offsets") or []
            ]
        self._held_until = clock.boot_ms() + HOLD_MS
        self._allowance_until = self._limit_ms = 0.0

    def to_data(self) -> dict[str, Any]:
        """Return what the constructor takes."""
        return {"boot_id": self._boot_id, "offsets": self._offsets}

    def observe(self, row_id: int, stamp_ms: float) -> None:
        """Note that row ``row_id`` gets ``stamp_ms`` now."""
        boot_ms = self._clock.boot_ms()
        offset = stamp_ms - boot_ms
        if self._offsets and abs(offset - self._offsets[-1][1]) <= STEP_MS:
            return
        if self._offsets:
            self._held_until = boot_ms + HOLD_MS
            self._allowance_until = 0.0
        self._offsets = [*self._offsets, (row_id, offset)][-MAX_OFFSETS:]

    def present_ms(self, row_id: int, time_ms: float) -> float:
        """Return when a row was sampled, in the time that the newest timestamps are in."""
        for first, offset in reversed(self._offsets):
            if first <= row_id:
                return time_ms - offset + self._offsets[-1][1]
        return time_ms

    def cutoff_ms(self, keep_ms: float, oldest: Callable[[], float | None]) -> float | None:
        """Return before which ``present_ms`` rows may go now; ``None``: none may.

        ``oldest`` returns that of the oldest row, ``None`` if there is none.
        """
        boot_ms = self._clock.boot_ms()
        if boot_ms < self._held_until or not self._offsets:
            return None
        if boot_ms >= self._allowance_until:
            oldest_ms = oldest()
            if oldest_ms is None:
                return None
            self._allowance_until = boot_ms + HOLD_MS
            self._limit_ms = oldest_ms + AT_ONCE_MS
        return min(boot_ms + self._offsets[-1][1] - keep_ms, self._limit_ms)
