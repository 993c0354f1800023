"""What Grafana fills into a query before InfluxDB gets it, as its documentation says.

``interpolate`` replaces the variables of a dashboard, which is the browser's part; ``expand``
replaces what depends on the time range, which Grafana's data source does. The pages:

- https://grafana.com/docs/grafana/v10.0/dashboards/variables/variable-syntax/
- https://grafana.com/docs/grafana/v8.5/variables/variable-selection-options (All)
- https://grafana.com/docs/grafana/v9.0/variables/variable-types/global-variables/ (``$__interval``)
- https://grafana.com/docs/grafana/v8.2/datasources/influxdb/influxdb-flux/ (``v.…``)

Grafana leaves an unknown variable as it stands and takes an unknown format for ``glob``; here both
are errors, as is a format that no dashboard of ours uses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

ALL: Final = "$__all"
_SPECIAL = re.compile(r"[\\^$*+?.()|\[\]{}/]")  # what escapeRegex of @grafana/data escapes
_REFERENCE = re.compile(
    r"\$(?P<bare>\w+)|\$\{(?P<name>[^}:]*)(?::(?P<format>[^}]*))?\}|(?P<deprecated>\[\[\w+.*?\]\])"
)
_INTERVALS = ("__interval", "__interval_ms")
_MACRO = re.compile(
    r"\$\{?(__interval(?:_ms)?\b)\}?"
    r"|(?<![\w.])v\.(timeRangeStart|timeRangeStop|windowPeriod|defaultBucket|organization)\b"
)
# An interval below the first number becomes the second (roundInterval of @grafana/data).
_ROUNDED = (
    *((10, 1), (15, 10), (35, 20), (75, 50), (150, 100), (350, 200), (750, 500)),
    *((1_500, 1_000), (3_500, 2_000), (7_500, 5_000), (12_500, 10_000), (17_500, 15_000)),
    *((25_000, 20_000), (45_000, 30_000), (90_000, 60_000), (210_000, 120_000)),
    *((450_000, 300_000), (750_000, 600_000), (1_050_000, 900_000), (1_500_000, 1_200_000)),
    *((2_700_000, 1_800_000), (5_400_000, 3_600_000), (9_000_000, 7_200_000)),
    *((16_200_000, 10_800_000), (32_400_000, 21_600_000), (86_400_000, 43_200_000)),
    *((604_800_000, 86_400_000), (1_814_400_000, 604_800_000), (3_628_800_000, 2_592_000_000)),
)
_YEAR_MS = 31_536_000_000
_UNITS_MS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


class InterpolationError(ValueError):
    """A query names a variable or a format that is not there, or needs one."""


@dataclass(frozen=True)
class CustomAll:
    """A variable's custom all value: it is never escaped."""

    text: str


Value: TypeAlias = str | list[str] | CustomAll


@dataclass(frozen=True)
class Macros:
    """What a query gets from its panel's time range and interval, and from its data source.

    Variables and annotations have no interval.
    """

    start_ms: int
    stop_ms: int
    interval_ms: int | None = None
    default_bucket: str | None = None
    organization: str | None = None

    def texts(self) -> dict[str, str]:
        """Return name → Flux, of those that have a value."""
        found = {
            "timeRangeStart": rfc3339(self.start_ms),
            "timeRangeStop": rfc3339(self.stop_ms),
        }
        if self.interval_ms is not None:
            text = duration(self.interval_ms)
            found |= {"windowPeriod": text, "__interval": text}
            found["__interval_ms"] = str(self.interval_ms)
        if self.default_bucket is not None:
            found["defaultBucket"] = _literal(self.default_bucket)
        if self.organization is not None:
            found["organization"] = _literal(self.organization)
        return found


def selected(variable: Mapping[str, Any], options: list[str], choice: str | list[str]) -> Value:
    """Return the value of a variable (as a dashboard's JSON has it) when ``choice`` is selected.

    ``ALL`` is all options, or the custom all value where the variable has one.
    """
    if choice != ALL:
        return choice
    return CustomAll(variable["allValue"]) if variable.get("allValue") else options


def interpolate(text: str, variables: Mapping[str, Value]) -> str:
    """Replace ``$name``, ``${name}`` and ``${name:regex}``; what a value contains stays.

    Raises InterpolationError for another format, an unknown variable, and several values without
    a format: what Grafana makes of those depends on the data source. ``$__interval`` stays for
    ``expand``.
    """

    def replace(found: re.Match[str]) -> str:
        if found["deprecated"]:
            raise InterpolationError(f"{found[0]} is a deprecated syntax")
        name = found["bare"] or found["name"]
        if name in _INTERVALS:
            return found[0]
        if name not in variables:
            raise InterpolationError(f"{found[0]}: no variable {name}")
        if found["format"] not in (None, "regex"):
            raise InterpolationError(f"{found[0]}: no format {found['format']}")
        value = variables[name]
        if isinstance(value, CustomAll):
            return value.text
        if found["format"] == "regex":
            return _regex(value)
        if isinstance(value, str):
            return value
        raise InterpolationError(f"{found[0]}: {name} has several values and no format")

    return _REFERENCE.sub(replace, text)


def expand(flux: str, macros: Macros) -> str:
    """Replace ``$__interval`` and the macros of Flux; other members of a record ``v`` stay.

    Raises InterpolationError for one that has no value.
    """
    texts = macros.texts()

    def replace(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in texts:
            raise InterpolationError(f"{found[0]} has no value here")
        return texts[name]

    return _MACRO.sub(replace, flux)


def panel_interval_ms(span_ms: int, max_data_points: int, min_interval_ms: int = 0) -> int:
    """Return a panel's interval: its time range by its points, rounded, at least the minimum."""
    exact = span_ms / max_data_points
    found = next((rounded for bound, rounded in _ROUNDED if exact < bound), _YEAR_MS)
    return max(found, min_interval_ms)


def duration(milliseconds: int) -> str:
    """Return a duration as Flux and Grafana write it, in the largest unit without a remainder."""
    unit, size = next((unit, size) for unit, size in _UNITS_MS if milliseconds % size == 0)
    return f"{milliseconds // size}{unit}"


def rfc3339(time_ms: int) -> str:
    """Return a time as Flux writes it, in UTC."""
    text = datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{time_ms % 1000:03}Z" if time_ms % 1000 else f"{text}Z"


def _regex(value: str | list[str]) -> str:
    values = [value] if isinstance(value, str) else value
    escaped = [_SPECIAL.sub(r"\\\g<0>", one) for one in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
