"""Series as a test writes them: ``"90x31 50x1 _x3"``."""

from __future__ import annotations

import enum
import math
import re
from typing import Final

MAX_SAMPLES: Final = 100_000

_STEP = re.compile(r"(_|-|[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?)(?:x(\d{1,9}))?")


class Missing(enum.Enum):
    """Why there is no value at some time."""

    HOST = "_"  # the host is silent
    FIELD = "-"  # the host reports, without this field


Step = float | Missing


def parse_series(text: str) -> tuple[Step, ...]:
    """Return a value, or why there is none, for each interval; raise ValueError saying what fits.

    ``VxN`` is N samples of V, ``_xN`` a host silent for N intervals, ``-xN`` a host that reports N
    samples without this field; without ``xN`` it is one.
    """
    steps: list[Step] = []
    for word in text.split():
        match = _STEP.fullmatch(word)
        times = int(match[2] or 1) if match else 0
        if match is None or not times:
            raise ValueError(f'{word[:40]!r} is no part of a series; write as in "90x31 50 _x3"')
        if len(steps) + times > MAX_SAMPLES:
            raise ValueError(f"has more than {MAX_SAMPLES} samples; a test needs fewer")
        steps += [_step(match[1])] * times
    if not steps:
        raise ValueError('is empty; write as in "90x31 50 _x3"')
    return tuple(steps)


def _step(text: str) -> Step:
    if text in ("_", "-"):
        return Missing(text)
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is no finite number")
    return value
