"""Durations as configuration, rules and queries write them: ``90s``, ``1.5h``, ``1h30m``."""

from __future__ import annotations

import re
from typing import Final

_UNIT_MS: Final = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
}
_PART: Final = re.compile(rf"(\d+(?:\.\d+)?)({'|'.join(_UNIT_MS)})")
_DURATION: Final = re.compile(rf"(?:{_PART.pattern})+")


def parse_ms(text: str) -> float | None:
    """Return the milliseconds of a duration, ``None`` of a text that is none."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNIT_MS[unit] for number, unit in _PART.findall(text))
