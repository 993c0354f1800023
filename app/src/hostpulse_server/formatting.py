"""Times, durations, numbers and names as people read them.

Messages, pages, commands and verdicts share these. Where two say nearly the same (`duration` and
`span`, `number` and `figure`), both have texts that people and tests rely on.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SECOND, _MINUTE, _HOUR, _DAY = 1, 60, 3600, 86_400
_SMALL = 100

SINGLE_LINE_LENGTH: Final = 300
_SPAN_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_RULE_UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms"))
_NAMES_SHOWN: Final = 5
MAX_NAMES: Final = 20  # of one kind, that an agent sends and the server keeps
_TINY: Final = 1e-12
_HUGE: Final = 1e15
_KIB: Final = 1024
_HALF: Final = 0.5
_SECOND_MS: Final = 1000
_MOST_DIGITS: Final = 8
_BITS: Final = ("bit", "kbit", "Mbit", "Gbit", "Tbit")
_ANSWERS: Final = frozenset({"readonly", "hung", "link_up"})
# from how many seconds on, in which unit: 72 s, 83 min, 83 h, 5 d
_TIMES: Final = ((4 * _DAY, _DAY, "d"), (2 * _HOUR, _HOUR, "h"), (2 * _MINUTE, _MINUTE, "min"))
_SIZES: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
# how a field's name ends, the longest first: CONTRACT, measurements
_FIELD_UNITS: Final = (
    ("_per_second", "/s"),
    ("_percent", " %"),
    ("days_left", " d"),
    ("hours_left", " h"),
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


def clock_time(at_ms: int, now_ms: int, where: tzinfo) -> str:
    """Return ``12:00:10 CET``, with its date unless that is today's there."""
    at, now = (datetime.fromtimestamp(ms / 1000, where) for ms in (at_ms, now_ms))
    return at.strftime("%H:%M:%S %Z" if at.date() == now.date() else "%Y-%m-%d %H:%M:%S %Z")


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


def names_for(names: Sequence[str], value: float | None) -> str:
    """Return names as a text, a few and how many more, where ``value`` counts them; else ``""``.

    Names of another moment than the value's are left out.
    """
    if not names or value is None:
        return ""
    is_cut = len(names) == MAX_NAMES < value and float(value).is_integer()
    if value != len(names) and not is_cut:
        return ""
    more = int(value) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def plural(value: float, one: str, many: str = "") -> str:
    """Return the word that fits a number as it is shown."""
    return one if figure(value) == "1" else many or f"{one}s"


def figure(value: float, apart_from: float | None = None) -> str:
    """Return a number for people: ``12.3``, ``80``, ``0.042``, ``nan``.

    It has as many decimals as tell it from ``apart_from``: 90.04 beside 90.
    """
    return _apart(_figure, value, apart_from)


def with_unit(value: float, field: str, apart_from: float | None = None) -> str:
    """Return a value of a field for people: ``96.2 %``, ``3.1 GiB``, ``83 h``, ``yes``."""
    return _apart(lambda one, digits: _with_unit(one, field, digits), value, apart_from)


def is_answer(field: str) -> bool:
    """Return whether a field is yes or no, so that its threshold means nothing to people."""
    return field in _ANSWERS


def compared(value: float, threshold: float | None, field: str, worst: float | None = None) -> str:
    """Return a value with its worst and its threshold, ``91.5 %, worst 97 %, threshold 90 %``."""
    parts = [with_unit(value, field, threshold)]
    if is_answer(field):
        return parts[0]
    if worst is not None and worst != value:
        parts.append(f"worst {with_unit(worst, field, threshold)}")
    if threshold is not None:
        parts.append(f"threshold {with_unit(threshold, field)}")
    return ", ".join(parts)


def size(value: float) -> str:
    """Return bytes for people."""
    return _scaled(float(value), _SIZES, _KIB, 1)


def _apart(form: Callable[[float, int], str], value: float, other: float | None) -> str:
    text = form(value, 1)
    if other is None or value == other or text != form(other, 1):
        return text
    texts = (form(value, digits) for digits in range(2, _MOST_DIGITS))
    return next((one for one in texts if one != text), text)


def _figure(value: float, digits: int = 1) -> str:
    if not -_HUGE < value < _HUGE:  # not a number, infinite or beyond reading
        return f"{value:g}"
    if _TINY < abs(value) < 1:
        return f"{value:.{digits + 1}g}"
    text = f"{value:.{digits}f}".rstrip("0").removesuffix(".")
    return "0" if text == "-0" else text


def _with_unit(value: float, field: str, digits: int) -> str:
    if field in _ANSWERS:
        return "yes" if value > _HALF else "no"
    whole, rate = field.removesuffix("_per_second"), "/s" if field.endswith("_per_second") else ""
    if whole.endswith("_bytes"):
        return f"{_scaled(value, _SIZES, _KIB, digits)}{rate}"
    if rate and whole.endswith("_bits"):
        return f"{_scaled(value, _BITS, 1000, digits)}{rate}"
    if field.endswith("_seconds"):
        return _time(value, digits)
    if field.endswith("_ms") and abs(value) >= _SECOND_MS:
        return _time(value / _SECOND_MS, digits)
    unit = next((unit for end, unit in _FIELD_UNITS if field.endswith(end)), "")
    return _figure(value, digits) + unit


def _time(seconds: float, digits: int) -> str:
    """Return seconds in one unit, the largest of which there are some."""
    for least, size_of_unit, unit in _TIMES:
        if abs(seconds) >= least:
            return f"{_figure(seconds / size_of_unit, digits)} {unit}"
    return f"{_figure(seconds, digits)} s"


def _scaled(value: float, units: Sequence[str], step: int, digits: int) -> str:
    left = value
    for unit in units[:-1]:
        if not abs(left) >= step:  # also what is not a number
            return f"{_figure(left, digits)} {unit}"
        left /= step
    return f"{_figure(left, digits)} {units[-1]}"


def single_line(text: str) -> str:
    """Return the text as one line without control characters, cut where it is too long."""
    plain = "".join(one if one.isprintable() else " " for one in text)
    plain = " ".join(plain.split())
    return plain if len(plain) <= SINGLE_LINE_LENGTH else f"{plain[: SINGLE_LINE_LENGTH - 1]}…"
