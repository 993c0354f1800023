"""Times, durations, numbers and names as people read them.

Messages, pages, commands and verdicts share these. Where two say nearly the same (`duration` and
`span`, `number` and `figure`), both have texts that people and tests rely on.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

_SECOND, _MINUTE, _HOUR, _DAY = 1, 60, 3600, 86_400
_SMALL = 100

SINGLE_LINE_LENGTH: Final = 300
_SPAN_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_RULE_UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms"))
_NAMES_SHOWN: Final = 5
_TINY: Final = 1e-12
_HUGE: Final = 1e15
_KIB: Final = 1024
_SIZES: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
# how a field's name ends, the longest first: CONTRACT, measurements
_FIELD_UNITS: Final = (
    ("_bits_per_second", " bit/s"),
    ("_per_second", "/s"),
    ("_percent", " %"),
    ("_seconds", " s"),
    ("days_left", " d"),
    ("_ms", " ms"),
)


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


def clock_time(at_ms: int, now_ms: int) -> str:
    """Return ``12:00:10 UTC``, with its date unless that is today's."""
    at, now = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (at_ms, now_ms))
    return at.strftime("%H:%M:%S UTC" if at.date() == now.date() else "%Y-%m-%d %H:%M:%S UTC")


def span(ms: int) -> str:
    """Return ``3 min 10 s``: the two largest units."""
    left = max(0, ms) // 1000
    parts = []
    for unit, seconds in _SPAN_UNITS:
        if left >= seconds:
            parts.append(f"{left // seconds} {unit}")
            left %= seconds
    return " ".join(parts[:2]) or "0 s"


def rule_duration(milliseconds: int, most: int = len(_RULE_UNITS)) -> str:
    """Return a duration as rules files write it, ``5m10s``, in its ``most`` largest units."""
    parts = []
    for size, unit in _RULE_UNITS:
        if milliseconds >= size:
            parts.append(f"{milliseconds // size}{unit}")
            milliseconds %= size
    return "".join(parts[:most]) or "0s"


def some_of(ids: Sequence[str]) -> str:
    """Return a few of ``ids`` and how many more there are."""
    more = len(ids) - _NAMES_SHOWN
    return ", ".join(ids[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def figure(value: float) -> str:
    """Return a number for people: ``12.3``, ``80``, ``0.042``, ``nan``."""
    if not -_HUGE < value < _HUGE:  # not a number, infinite or beyond reading
        return f"{value:g}"
    if _TINY < abs(value) < 1:
        return f"{value:.2g}"
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def with_unit(value: float, field: str) -> str:
    """Return a value of a field for people: ``96.2 %``, ``3.1 GiB``, ``12/s``."""
    if field.endswith("_bytes"):
        return size(value)
    if field.endswith("_bytes_per_second"):
        return f"{size(value)}/s"
    return figure(value) + next((unit for end, unit in _FIELD_UNITS if field.endswith(end)), "")


def size(value: float) -> str:
    """Return bytes for people."""
    left = float(value)
    for unit in _SIZES[:-1]:
        if not abs(left) >= _KIB:  # also what is not a number
            return f"{figure(left)} {unit}"
        left /= _KIB
    return f"{figure(left)} {_SIZES[-1]}"


def single_line(text: str) -> str:
    """Return the text as one line without control characters, cut where it is too long."""
    plain = "".join(one if one.isprintable() else " " for one in text)
    plain = " ".join(plain.split())
    return plain if len(plain) <= SINGLE_LINE_LENGTH else f"{plain[: SINGLE_LINE_LENGTH - 1]}…"
