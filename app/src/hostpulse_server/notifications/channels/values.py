"""Values with their units, and a row of values drawn in one line of text."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from hostpulse_server.rules.summary import figure

if TYPE_CHECKING:
    from collections.abc import Sequence

_BARS: Final = "▁▂▃▄▅▆▇█"
_MARK: Final = "╎"  # where the values went beyond the threshold
_MAX_BARS: Final = 40
_KIB: Final = 1024
_SIZES: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
# how a field's name ends, the longest first: CONTRACT, measurements
_UNITS: Final = (
    ("_bits_per_second", " bit/s"),
    ("_per_second", "/s"),
    ("_percent", " %"),
    ("_seconds", " s"),
    ("days_left", " d"),
    ("_ms", " ms"),
)


def with_unit(value: float, field: str) -> str:
    """Return a value of a field for people: ``96.2 %``, ``3.1 GiB``, ``12/s``."""
    if field.endswith("_bytes"):
        return size(value)
    if field.endswith("_bytes_per_second"):
        return f"{size(value)}/s"
    return figure(value) + next((unit for end, unit in _UNITS if field.endswith(end)), "")


def size(value: float) -> str:
    """Return bytes for people."""
    left = float(value)
    for unit in _SIZES[:-1]:
        if not abs(left) >= _KIB:  # also what is not a number
            return f"{figure(left)} {unit}"
        left /= _KIB
    return f"{figure(left)} {_SIZES[-1]}"


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
