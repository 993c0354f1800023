"""When to try again: waits with full jitter under a bound that doubles up to a limit."""

from __future__ import annotations

import random

FIRST_SECONDS = 0.1
_DOUBLINGS = 16


class Backoff:
    """The patience with one thing that may fail; times are those of a monotonic clock."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._attempt = 0
        self.until = float("-inf")

    @property
    def failing(self) -> bool:
        """Whether the last try failed."""
        return self._attempt > 0

    def failed(self, now: float, asked: float | None = None) -> float:
        """Note a failure; return how long to wait, no less than was ``asked`` for, in the limit.

        Jitter comes on top of what was asked for: who was sent away together comes back apart.
        """
        bound = min(self._limit, FIRST_SECONDS * 2 ** min(self._attempt, _DOUBLINGS))
        self._attempt += 1
        jitter = random.uniform(0, bound)  # noqa: S311 - spreads load only
        seconds = min(self._limit, max(0.0, asked or 0.0) + jitter)
        self.until = now + seconds
        return seconds

    def worked(self) -> None:
        """Note a success: the next failure is the first again."""
        self._attempt = 0
        self.until = float("-inf")

    def retry_now(self) -> None:
        """Do not wait any longer: something of the kind has worked elsewhere."""
        self.until = float("-inf")
