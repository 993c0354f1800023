"""A clock for tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class ManualClock:
    """Both clocks, moved by hand and together."""

    ms: int = 1_800_000_000_000

    def now_ms(self) -> int:
        """Return the wall clock."""
        return self.ms

    def monotonic(self) -> float:
        """Return the monotonic clock."""
        return self.ms / 1000

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.ms += int(seconds * 1000)
