"""``[alerts] flap``: from which rate of changes an alert flaps."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from typing import Any, Final

from hostpulse_server.config import values
from hostpulse_server.config.values import Converter, ValueFault

_FORM: Final = "must be a table such as {window = 20, high = 0.3, low = 0.25}"


@dataclass(frozen=True)
class FlapConfig:
    """Changes within ``window`` group intervals, 0 for never, as shares of ``window``."""

    window: int = 20
    high: float = 0.3
    low: float = 0.25


DEFAULT: Final = FlapConfig()
_KINDS: Final = {
    "window": values.integer(0, 1000),
    "high": values.number(0.01, 1),
    "low": values.number(0.01, 1),
}


def _read(value: Any) -> FlapConfig:
    if not isinstance(value, dict) or not value.keys() <= {one.name for one in fields(FlapConfig)}:
        raise ValueFault(_FORM)
    found: dict[str, Any] = {}
    for name, given in value.items():
        try:
            found[name] = _KINDS[name].read(given)
        except ValueFault as error:
            raise ValueFault(f"{name} {error}") from None
    flap = FlapConfig(**found)
    if flap.low > flap.high:
        raise ValueFault("low must not be more than high")
    return flap


def _text(text: str) -> Any:
    try:
        return tomllib.loads(f"flap = {text}")["flap"]
    except tomllib.TOMLDecodeError:
        return text


FLAP: Final = Converter(_read, _text)
