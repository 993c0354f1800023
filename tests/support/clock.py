"""A clock for tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class ManualClock:
    """Both clocks, moved by hand and together; ``set`` sets the wall clock alone."""

    ms: int = 1_800_000_000_000
    set_by_ms: int = 0

    def now_ms(self) -> int:
        """Return the wall clock."""
        return self.ms

    def monotonic(self) -> float:
        """Return the monotonic clock."""
        return (self.ms - self.set_by_ms) / 1000

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.ms += int(seconds * 1000)

    def set(self, seconds: float) -> None:
        """Set the wall clock forward, or back, by so much."""
        self.ms += int(seconds * 1000)
        self.set_by_ms += int(seconds * 1000)
