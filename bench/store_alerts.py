"""Generated transitions of alerts: the measurement ``alert``, raw and rolled up."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

from bench.store_data import HOUR_MS, WINDOW_MS, host_name

if TYPE_CHECKING:
    from collections.abc import Iterator

_RULES = {"cpu_usage": 80.0, "disk_usage": 80.0, "memory_usage": 85.0, "io_pressure": 40.0}
_KEPT = ("min", "max", "last", "sum", "mean")


class Transition(NamedTuple):
    """A point: its time, series and fields."""

    time_ms: int
    series: str
    fields: dict[str, float]


def transitions(host: int, begin_ms: int, end_ms: int) -> Iterator[Transition]:
    """Yield a host's: alerts of some hours each, and of each fifth host one that still fires."""
    rng = random.Random(f"alerts {host}")  # noqa: S311  # made-up figures
    if host % 5 == 0:
        yield _transition(
            host, "disk_usage", ("critical", "firing", 1.0), end_ms - HOUR_MS // 2, 300
        )
    now = begin_ms
    while True:
        rule = rng.choice(sorted(_RULES))
        now += rng.randrange(HOUR_MS, 48 * HOUR_MS)
        steps = [("warning", "firing", 1.0), ("critical", "firing", 1.0)][: rng.randrange(1, 3)]
        steps.append((steps[-1][0], "resolved", -1.0))
        began = now - WINDOW_MS
        for severity, state, change in steps:
            if now >= end_ms:
                return
            if severity == "critical" and state == "firing":  # it is no warning any more
                yield Transition(now, _series(host, rule, "warning", state), {"change": -1.0})
            yield _transition(host, rule, (severity, state, change), now, (now - began) / 1000)
            now += rng.randrange(2 * WINDOW_MS, 6 * HOUR_MS)


def _transition(
    host: int, rule: str, step: tuple[str, str, float], now: int, held: float
) -> Transition:
    severity, state, change = step
    value = _RULES[rule] + (1 if state == "firing" else -3)
    fields = {"change": change, "duration_seconds": held, "threshold": _RULES[rule], "value": value}
    return Transition(now, _series(host, rule, severity, state), fields)


def _series(host: int, rule: str, severity: str, state: str) -> str:
    return f"alert,rule={rule},server_id={host_name(host)},severity={severity},state={state}"


def raw(found: Iterator[Transition], begin_ms: int) -> list[str]:
    """Return lines of what is not older than ``begin_ms``."""
    return [
        f"{one.series} {_fields(one.fields)} {one.time_ms}"
        for one in found
        if one.time_ms >= begin_ms
    ]


def rollups(found: Iterator[Transition]) -> list[str]:
    """Return lines of windows; each transition stands in a window of its own."""
    return [
        f"{one.series} {_fields(_rolled(one.fields))} {one.time_ms // WINDOW_MS * WINDOW_MS}"
        for one in found
    ]


def _rolled(fields: dict[str, float]) -> dict[str, float]:
    rolled = {f"{name}_{kind}": value for name, value in fields.items() for kind in _KEPT}
    return rolled | {f"{name}_count": 1.0 for name in fields}


def _fields(fields: dict[str, float]) -> str:
    return ",".join(f"{name}={value}" for name, value in fields.items())
