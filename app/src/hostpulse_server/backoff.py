"""When to try again: waits with full jitter under a bound that doubles up to a limit.

Full jitter: any time up to the bound, so that what failed together does not come back together.
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_SECONDS: Final = 0.1
CHANNEL_FIRST_SECONDS: Final = 1.0
CHANNEL_MOST_SECONDS: Final = 300.0
_MOST_DOUBLINGS: Final = 16


def bound_seconds(failures: int, first: float, limit: float) -> float:
    """Return the longest wait after so many failures before this one."""
    return min(limit, first * 2.0 ** min(failures, _MOST_DOUBLINGS))


def channel_wait_seconds(
    failures: int, spread: Callable[[float, float], float] = random.uniform
) -> float:
    """Return how long a message waits that a channel has refused so often before."""
    return spread(0, bound_seconds(failures, CHANNEL_FIRST_SECONDS, CHANNEL_MOST_SECONDS))


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
        bound = bound_seconds(self._attempt, FIRST_SECONDS, self._limit)
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
