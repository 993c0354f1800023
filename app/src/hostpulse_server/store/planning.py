"""Which step a query gets and what answers it; pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Literal

from hostpulse_server.errors import QueryError
from hostpulse_server.store.rollup import ceil_to, floor_to, window_count

if TYPE_CHECKING:
    from collections.abc import Iterator

Resolution = Literal["raw", "rollup", "mixed"]

COMFORTABLE_POINTS = 1000
MAX_POINTS = 11_000
_MULTIPLES = (1, 3, 6, 30, 60, 180, 360, 1080, 2160, 4320, 8640)
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"))


@dataclass(frozen=True, slots=True)
class Horizon:
    """What the store holds: times are epoch ms, ``oldest_dirty_ms`` starts a window or is None.

    Raw values reach back to ``raw_since_ms``; rollups of ``window_ms`` are true before the oldest
    dirty window.
    """

    raw_since_ms: int
    window_ms: int
    oldest_dirty_ms: int | None


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """The step to answer with, where raw values take over from rollups, and what that makes."""

    step_ms: int
    raw_from_ms: int
    resolution: Resolution


def plan(
    start_ms: int, end_ms: int, step_ms: int | None, interval_ms: int, horizon: Horizon
) -> QueryPlan:
    """Decide how to answer for ``[start_ms, end_ms)``, ``step_ms`` being ``None`` to choose one.

    Rollups serve from a step of their window on, and for what raw values no longer reach; the step
    is then rounded up to a multiple of their window. Raises QueryError when that is more than
    ``MAX_POINTS`` a series, naming the smallest step that fits.
    """
    if step_ms is None:
        step_ms = next(
            step
            for step in (_usable(step, start_ms, horizon) for step in _steps(interval_ms))
            if window_count(start_ms, end_ms, step) <= COMFORTABLE_POINTS
        )
    step_ms = _usable(step_ms, start_ms, horizon)
    points = window_count(start_ms, end_ms, step_ms)
    if points > MAX_POINTS:
        fits = as_duration(_smallest_fit(start_ms, end_ms, horizon))
        raise QueryError(
            "step",
            f"{points} points a series are more than {MAX_POINTS}; the smallest step that fits is "
            f"{fits}",
        )
    if not _by_rollups(step_ms, start_ms, horizon):
        return QueryPlan(step_ms, 0, "raw")
    return _with_rollups(floor_to(start_ms, step_ms), ceil_to(end_ms, step_ms), step_ms, horizon)


def as_duration(milliseconds: int) -> str:
    """Return the shortest text that reads as this duration, such as ``90s`` or ``5m``."""
    for size, unit in _UNITS:
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def _with_rollups(start_ms: int, end_ms: int, step_ms: int, horizon: Horizon) -> QueryPlan:
    border = ceil_to(end_ms, horizon.window_ms)
    if horizon.oldest_dirty_ms is not None:
        border = max(horizon.oldest_dirty_ms, floor_to(horizon.raw_since_ms, horizon.window_ms))
    if border <= start_ms:
        return QueryPlan(step_ms, border, "raw")
    return QueryPlan(step_ms, border, "rollup" if border >= end_ms else "mixed")


def _by_rollups(step_ms: int, start_ms: int, horizon: Horizon) -> bool:
    return step_ms >= horizon.window_ms or start_ms < horizon.raw_since_ms


def _usable(step_ms: int, start_ms: int, horizon: Horizon) -> int:
    """Return the step itself, or rounded up to whole rollup windows where these have to serve."""
    if _by_rollups(step_ms, start_ms, horizon):
        return ceil_to(step_ms, horizon.window_ms)
    return step_ms


def _steps(interval_ms: int) -> Iterator[int]:
    for multiple in _MULTIPLES:
        yield interval_ms * multiple
    for power in count(1):
        yield interval_ms * _MULTIPLES[-1] * 2**power


def _smallest_fit(start_ms: int, end_ms: int, horizon: Horizon) -> int:
    second = 1000
    step = _usable(ceil_to((end_ms - start_ms) // MAX_POINTS, second) or second, start_ms, horizon)
    while window_count(start_ms, end_ms, step) > MAX_POINTS:
        step = _usable(step + second, start_ms, horizon)
    return step
