"""Times, durations and numbers in words for people."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

_SECOND, _MINUTE, _HOUR, _DAY = 1, 60, 3600, 86_400
_SMALL = 100


def zone(name: str) -> tzinfo:
    """Return a time zone by its name; UTC for one that this machine does not know."""
    try:
        return ZoneInfo(name)
    except (OSError, KeyError, ValueError):  # no such zone, or no name of one
        return UTC


def moment(time_ms: int, where: tzinfo = UTC) -> str:
    """Return ``2026-03-01 14:05:07 CET``."""
    return f"{datetime.fromtimestamp(time_ms / 1000, where):%Y-%m-%d %H:%M:%S %Z}"


def duration(milliseconds: int) -> str:
    """Return ``2 h 5 min``: the two largest units that count, ``0 s`` at least."""
    seconds = max(0, milliseconds // 1000)
    parts: list[tuple[int, str]] = []
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE), ("s", _SECOND)):
        number, seconds = divmod(seconds, size)
        if number or parts or unit == "s":
            parts.append((number, unit))
    return " ".join(f"{number} {unit}" for number, unit in parts[:2] if number) or "0 s"


def number(value: float) -> str:
    """Return a figure with what matters of it: ``91.5``, ``12345``, ``0.0042``."""
    return f"{value:.0f}" if abs(value) >= _SMALL else f"{value:.3g}"
