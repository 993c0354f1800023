"""Kinds of configuration values: each turns a TOML value, or an override's text, into ours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hostpulse_server.values import duration

if TYPE_CHECKING:
    from collections.abc import Callable

_SIZE = re.compile(r"(\d+)(B|KiB|MiB|GiB|TiB)")
_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


class ValueFault(ValueError):  # noqa: N818  # never leaves this package; ConfigError does
    """One wrong value; the text says what is expected."""


@dataclass(frozen=True)
class Converter:
    """How one kind of value is read: ``read`` from TOML, ``text`` from an environment variable."""

    read: Callable[[Any], Any]
    text: Callable[[str], Any] = str


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueFault("must be a text in quotes")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueFault("must be true or false")
    return value


def _boolean_text(text: str) -> bool | str:
    return {"true": True, "false": False}.get(text.lower(), text)


def _strings(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueFault('must be a list of texts, as ["a", "b"]')
    return tuple(value)


def _group_by(value: Any) -> tuple[str, ...] | str:
    if value == "auto":
        return "auto"
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueFault('must be "auto" or a list of texts, as ["rule", "env"]')
    return tuple(value)


def _files(value: Any) -> tuple[str, ...]:
    # what cannot be a tag's value is refused here rather than by the store
    names = _strings(value)
    if not all(re.fullmatch(r"/[^\x00-\x1f\x7f]*[^\x00-\x1f\x7f\\/]", name) for name in names):
        raise ValueFault('must be a list of absolute paths of files, as ["/etc/ssl/a.pem"]')
    return names


def _strings_text(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _number_text(text: str) -> int | float | str:
    for cast in (int, float):
        try:
            return cast(text)
        except ValueError:
            continue
    return text


def seconds(value: Any) -> float:
    """Return a duration such as ``"90s"``, ``"7d"`` or ``"1h30m"`` in seconds."""
    found = duration.parse_ms(value) if isinstance(value, str) else None
    if found is None:
        raise ValueFault('must be a duration such as "10s", "5m" or "7d"')
    return found / 1000


def size(value: Any) -> int:
    """Return a size such as ``"64MiB"`` in bytes."""
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueFault('must be a size such as "512KiB", "64MiB" or "2GiB"')
    return int(match[1]) * _BYTES[match[2]]


def integer(low: int, high: int) -> Converter:
    """Make a kind for whole numbers from ``low`` to ``high``."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueFault(f"must be a whole number from {low} to {high}")
        return value

    return Converter(read, _number_text)


def number(low: float, high: float) -> Converter:
    """Make a kind for numbers from ``low`` to ``high``, read as float."""

    def read(value: Any) -> float:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            raise ValueFault(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return Converter(read, _number_text)


def choice(*allowed: str) -> Converter:
    """Make a kind for one of ``allowed``."""

    def read(value: Any) -> str:
        if value not in allowed:
            raise ValueFault("must be one of " + ", ".join(f'"{item}"' for item in allowed))
        return str(value)

    return Converter(read)


def matching(pattern: str, wanted: str) -> Converter:
    """Make a kind for texts that match ``pattern`` whole; ``wanted`` completes "must be …"."""

    def read(value: Any) -> str:
        if not re.fullmatch(pattern, _string(value)):
            raise ValueFault(f"must be {wanted}")
        return str(value)

    return Converter(read)


def positive(inner: Callable[[Any], float]) -> Converter:
    """Make a kind from a duration or size reader that refuses zero."""

    def read(value: Any) -> float:
        result = inner(value)
        if result <= 0:
            raise ValueFault("must be more than zero")
        return result

    return Converter(read)


@dataclass(frozen=True)
class FallbackAfter:
    """For how many seconds a message waits for its channel alone, by its severity."""

    critical: float = 300.0
    default: float = 900.0


def _fallback_after(value: Any) -> FallbackAfter:
    if not isinstance(value, dict) or not set(value) <= {"critical", "default"}:
        raise ValueFault('must be a table, as {critical = "5m", default = "15m"}')
    return FallbackAfter(**{name: positive(seconds).read(value[name]) for name in value})


def _table_text(text: str) -> dict[str, str]:
    pairs = (item.partition("=") for item in _strings_text(text))
    return {name.strip(): value.strip() for name, _, value in pairs}


TEXT = Converter(_string)
BOOLEAN = Converter(_boolean, _boolean_text)
TEXTS = Converter(_strings, _strings_text)
GROUP_BY = Converter(_group_by, lambda text: text if text == "auto" else _strings_text(text))
FILES = Converter(_files, _strings_text)
DURATION = Converter(seconds)
FALLBACK_TIMES = Converter(_fallback_after, _table_text)
SIZE = Converter(size)
LONG = positive(seconds)
URL = matching(r"https?://[^\s]+", "an http:// or https:// address")
OPTIONAL_URL = matching(r"(?:https?://[^\s]+)?", 'an http:// or https:// address, or ""')
