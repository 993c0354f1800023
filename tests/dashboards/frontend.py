"""What Grafana does with a query before the store gets it.

Variables and intervals are the browser's work, which no test runs: ``filled`` and ``interval_ms``
do what @grafana/data (``escapeRegex``, ``roundInterval``) does. Times are Grafana's server's, which
``timed`` stands in for where InfluxDB is asked without it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ALL = "$__all"
_SPECIAL = re.compile(r"[\\^$*+?.()|\[\]{}/]")
_USED = re.compile(r"\$\{(\w+)(?::(\w+))?\}")
# up to the first bound, then the second, and so on
_ROUNDED = (
    *((1_500, 1_000), (3_500, 2_000), (7_500, 5_000), (12_500, 10_000), (17_500, 15_000)),
    *((25_000, 20_000), (45_000, 30_000), (90_000, 60_000), (210_000, 120_000)),
    *((450_000, 300_000), (750_000, 600_000), (1_050_000, 900_000), (1_500_000, 1_200_000)),
    *((2_700_000, 1_800_000), (5_400_000, 3_600_000), (9_000_000, 7_200_000)),
    *((16_200_000, 10_800_000), (32_400_000, 21_600_000), (86_400_000, 43_200_000)),
)


def chosen(
    variable: Mapping[str, Any], values: list[str], choice: str | list[str]
) -> str | list[str]:
    """Return what a variable stands for: ``values`` is what its query found."""
    if choice != ALL:
        return choice
    return f"raw {variable['allValue']}" if "allValue" in variable else values


def filled(flux: str, variables: Mapping[str, str | list[str]]) -> str:
    """Put variables in their places; what ``chosen`` marks as raw goes in as it is."""

    def value(found: re.Match[str]) -> str:
        name, form = found.groups()
        known = variables[name]
        if isinstance(known, str) and known.startswith("raw "):
            return known.removeprefix("raw ")
        if form == "regex":
            several = [known] if isinstance(known, str) else known
            escaped = [_SPECIAL.sub(r"\\\g<0>", one) for one in several]
            return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
        if isinstance(known, str):
            return known
        message = f"{name} has several values and no form"
        raise ValueError(message)

    return _USED.sub(value, flux)


def interval_ms(span_ms: int, points: int, least_ms: int) -> int:
    """Return the width of a panel's windows."""
    exact = span_ms / points
    found = next((rounded for bound, rounded in _ROUNDED if exact < bound), 86_400_000)
    return max(found, least_ms)


def matches(matcher: Mapping[str, Any], name: str) -> bool:
    """Tell whether a panel's override is for the column of this name."""
    if matcher["id"] == "byRegexp":
        return re.search(matcher["options"].strip("/"), name) is not None
    return bool(matcher["id"] == "byName" and matcher["options"] == name)


def timed(flux: str, start_ms: int, stop_ms: int, every_ms: int, now_ms: int) -> str:
    """Put times in their places; ``now`` may be the end of a history that was made before."""
    places = {
        "v.timeRangeStart": _text(start_ms),
        "v.timeRangeStop": _text(stop_ms),
        "$__interval_ms": str(every_ms),
        "now()": _text(now_ms),
    }
    for place, text in places.items():
        flux = flux.replace(place, text)
    return flux


def _text(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
