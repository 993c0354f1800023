"""Durations as rules files and options write them: ``90s``, ``1.5h``, ``1h30m``."""

from __future__ import annotations

import re

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
_WHOLE = re.compile(r"(?:[0-9]+[smhdw])+")


def parse_seconds(text: str) -> float | None:
    """Return the seconds of a duration, ``None`` of a text that is none."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(_number(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def parse_whole_seconds(text: str) -> int | None:
    """Return the same of a duration without fractions and milliseconds."""
    found = parse_seconds(text) if _WHOLE.fullmatch(text) else None
    return None if found is None else int(found)


def _number(text: str) -> float:
    return float(text) if "." in text else int(text)
