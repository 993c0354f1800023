"""A row of values drawn in one line of text."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_BARS: Final = "▁▂▃▄▅▆▇█"
_MARK: Final = "╎"  # where the values went beyond the threshold
_MAX_BARS: Final = 40


def sparkline(
    trend: Sequence[float],
    threshold: float | None,
    comparison: str,
    clear: float | None = None,
) -> str:
    """Return values, oldest first, as bars; a mark stands where they last crossed the threshold.

    What has not passed ``clear`` since is still on that side.
    Empty for fewer than two values. The scale holds the threshold, too, so that its distance shows.
    """
    values = _thinned([one for one in trend if math.isfinite(one)])
    if len(values) <= 1:
        return ""
    scale = values if threshold is None else [*values, threshold]
    low, high = min(scale), max(scale)
    top = len(_BARS) - 1
    bars = [_BARS[round((one - low) / (high - low) * top) if high > low else 0] for one in values]
    if threshold is not None:
        beyond = list(_beyond(values, threshold, comparison, clear))
        crossed = [i for i, (was, is_) in enumerate(pairwise(beyond), 1) if is_ and not was]
        if crossed:
            bars.insert(crossed[-1], _MARK)
    return "".join(bars)


def _beyond(
    values: Iterable[float], threshold: float, comparison: str, clear: float | None
) -> Iterator[bool]:
    """Yield for each value whether it is beyond the threshold, or was and has not cleared."""
    sign = 1 if comparison == "above" else -1
    is_beyond = False
    for value in values:
        stays = is_beyond and clear is not None and sign * value >= sign * clear
        is_beyond = stays or sign * value > sign * threshold
        yield is_beyond


def _thinned(values: Sequence[float]) -> list[float]:
    """Return at most as many values as there is room for, the newest always."""
    if len(values) <= _MAX_BARS:
        return list(values)
    step = len(values) / _MAX_BARS
    return [values[int((i + 1) * step) - 1] for i in range(_MAX_BARS)]
