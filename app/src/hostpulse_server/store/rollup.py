"""Window arithmetic, pure: which windows a time touches, how parts of a window join.

A rollup keeps mean, min, max, last and count of each window, so that coarser answers are exact:
means join by count, and a window that is half rollup and half raw comes out as if it were all raw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostpulse_server.store.base import Aggregate


class PartialWindow(NamedTuple):
    """What one source knows of one window: ``weight`` is a count, for ``last`` the time in ms."""

    weight: float
    value: float


def floor_to(time_ms: int, step_ms: int) -> int:
    """Return the start of the window of ``step_ms``, aligned to the epoch, that holds the time."""
    return time_ms - time_ms % step_ms


def ceil_to(time_ms: int, step_ms: int) -> int:
    """Return the first window start that is not before the time."""
    return -(-time_ms // step_ms) * step_ms


def window_count(start_ms: int, end_ms: int, step_ms: int) -> int:
    """Return how many windows of ``step_ms`` overlap the half-open range."""
    return (ceil_to(end_ms, step_ms) - floor_to(start_ms, step_ms)) // step_ms


def touched(times_ms: Iterable[int], window_ms: int) -> set[int]:
    """Return the starts of all windows that hold at least one of the times."""
    return {floor_to(time_ms, window_ms) for time_ms in times_ms}


def join(aggregate: Aggregate, first: PartialWindow, second: PartialWindow) -> PartialWindow:
    """Return what both parts together say of their common window."""
    if aggregate == "mean":
        weight = first.weight + second.weight
        share = second.weight / weight
        return PartialWindow(weight, first.value * (1 - share) + second.value * share)
    if aggregate == "last":
        return max(first, second, key=lambda part: part.weight)
    pick = min if aggregate == "min" else max
    return PartialWindow(first.weight + second.weight, pick(first.value, second.value))
