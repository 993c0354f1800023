"""Types of configuration values: converters from TOML or environment text to checked values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from hostpulse_agent import url

if TYPE_CHECKING:
    from collections.abc import Callable

SERVER_ID = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+)(B|KiB|MiB|GiB)")
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class Converter(NamedTuple):
    """Checks one value (``parse``) after converting environment text to it (``from_text``)."""

    parse: Callable[[Any], Any]
    from_text: Callable[[str], Any] = str


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a string, not {_name(value)}")  # noqa: TRY004 -- one fault class
    return value


def _path(value: Any) -> str:
    if not _text(value):
        raise ValueError("must not be empty")
    return str(value)


def _server_id(value: Any) -> str:
    if not SERVER_ID.fullmatch(_text(value)):
        raise ValueError("must be lower-case letters, digits, '.', '_' or '-', at most 253")
    return str(value)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("must be a list of strings")
    return tuple(value)


def _patterns(value: Any) -> tuple[str, ...]:
    return tuple(_pattern(item) for item in _texts(value))


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None
    return text


def _urls(value: Any) -> tuple[str, ...]:
    texts = _texts(value)
    if not texts:
        raise ValueError('needs at least one URL, such as ["https://monitor:8443"]')
    return tuple(_url(text) for text in texts)


def _url(text: str) -> str:
    parts = url.split(text)
    if parts.scheme == "http" and parts.host not in LOOPBACK:
        raise ValueError(f"{text!r} must be https: plain http is for the loopback only")
    return text.rstrip("/")


def _proxy(value: Any) -> str:
    if _text(value) and url.split(value).scheme != "http":
        raise ValueError(f"{value!r} must look like http://host:port")
    return str(value)


def _seconds(value: Any) -> float:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    seconds = float(match.group(1)) * _SECONDS[match.group(2)] if match else 0.0
    if seconds <= 0:
        raise ValueError('must be a duration above zero such as "10s", "5m" or "6d"')
    return seconds


def _bytes(value: Any) -> int:
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be a size such as "64MiB" or "1GiB"')
    return int(match.group(1)) * _BYTES[match.group(2)]


def _ranged(low: float, high: float, parse: Callable[[Any], Any], words: str) -> Converter:
    def check(value: Any) -> Any:
        parsed = parse(value)
        if not low <= parsed <= high:
            raise ValueError(f"must be between {words}")
        return parsed

    return Converter(check, _number if parse is _integer else str)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"must be a whole number, not {_name(value)}")  # noqa: TRY004 -- as above
    return value


def _number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        return text


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _name(value: Any) -> str:
    names = {"bool": "a boolean", "int": "a number", "float": "a number", "list": "a list"}
    return names.get(type(value).__name__, f"a {type(value).__name__}")


def choice(*words: str) -> Converter:
    """Exactly one of ``words``."""

    def check(value: Any) -> str:
        if value not in words:
            raise ValueError("must be one of " + ", ".join(f'"{word}"' for word in words))
        return str(value)

    return Converter(check)


TEXT = Converter(_text)
PATH = Converter(_path)
ID = Converter(_server_id)
TEXTS = Converter(_texts, _items)
PATTERNS = Converter(_patterns, _items)
URLS = Converter(_urls, _items)
PROXY = Converter(_proxy)
DURATION = Converter(_seconds)
INTERVAL = _ranged(1.0, 3600.0, _seconds, '"1s" and "1h"')
TIMEOUT = _ranged(0.1, 300.0, _seconds, '"100ms" and "5m"')
SIZE = Converter(_bytes)
COUNT = _ranged(1, 1_000_000, _integer, "1 and 1000000")
TOP = _ranged(0, 50, _integer, "0 (off) and 50")
