"""A row of values drawn in one line of text."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_BARS: Final = "▁▂▃▄▅▆▇█"
_MARK: Final = "╎"  # where the values went beyond the threshold
_MAX_BARS: Final = 40


def sparkline(trend: Sequence[float], threshold: float | None, comparison: str) -> str:
    """Return values, oldest first, as bars; a mark stands where they last crossed the threshold.

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
        beyond = [one > threshold if comparison == "above" else one < threshold for one in values]
        crossed = [i for i, (was, is_) in enumerate(pairwise(beyond), 1) if is_ and not was]
        if crossed:
            bars.insert(crossed[-1], _MARK)
    return "".join(bars)


def _thinned(values: Sequence[float]) -> list[float]:
    """Return at most as many values as there is room for, the newest always."""
    if len(values) <= _MAX_BARS:
        return list(values)
    step = len(values) / _MAX_BARS
    return [values[int((i + 1) * step) - 1] for i in range(_MAX_BARS)]
