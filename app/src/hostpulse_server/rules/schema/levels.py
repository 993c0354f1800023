"""The levels of a rule: thresholds that fit together, or how long a silence may last."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, get_args

from hostpulse_server.rules.model import Comparison, Direction, Level, LivenessLevel, Verdict
from hostpulse_server.values.alert import SEVERITIES, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostpulse_server.rules.schema.tables import TableReader

VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)
_LIVENESS_FOR_MS: Final[dict[Severity, int]] = {
    "critical": 180_000,
    "warning": 600_000,
    "info": 600_000,
}
_LIVENESS_VERDICTS: Final[dict[Severity, tuple[Verdict, ...]]] = {
    "warning": ("agent_stopped", "path_broken"),
    "critical": ("host_down", "silent"),
}
_DIRECTIONS: Final[tuple[Direction, Direction]] = ("above", "below")


def read_levels(rule: TableReader, for_ms: int) -> tuple[Level, ...]:
    """Read ``levels`` from the least to the most serious; report what does not fit together."""
    levels = rule.table("levels")
    found = [
        level
        for severity, table in _each(levels)
        if (level := _level(table, severity, for_ms)) is not None
    ]
    for lower, higher in pairwise(found):
        if (text := _conflict(lower, higher)) and levels is not None:
            levels.fault(lower.severity, text)
    return tuple(found)


def read_liveness(rule: TableReader, for_ms: int | None) -> tuple[LivenessLevel, ...]:
    """Read the ``levels`` of ``kind: liveness``; without any, those that the docs show."""
    if "levels" in rule:
        each = _each(rule.table("levels"))
        return tuple(_liveness(table, severity, for_ms) for severity, table in each)
    return tuple(
        LivenessLevel(severity, verdicts, _LIVENESS_FOR_MS[severity] if for_ms is None else for_ms)
        for severity, verdicts in _LIVENESS_VERDICTS.items()
    )


def read_absent(rule: TableReader, for_ms: int) -> tuple[Level, ...]:
    """Read the ``levels`` of ``kind: absent``, which have a ``for`` alone; without any, warning.

    They compare whether the series is away, 1 or 0.
    """
    given: list[tuple[Severity, int]] = [("warning", for_ms)]
    if "levels" in rule:
        given = []
        for severity, table in _each(rule.table("levels")):
            table.only(("for",), hint="a level of kind: absent has only for")
            own_ms = table.duration_ms("for")
            given.append((severity, for_ms if own_ms is None else own_ms))
    return tuple(Level(severity, "above", 0.5, 0.5, away_ms) for severity, away_ms in given)


def read_comparison(table: TableReader) -> Comparison | None:
    """Read one item of ``only_if``."""
    table.only(("field", *_DIRECTIONS))
    field = table.name("field")
    if "field" not in table:
        table.fault("field", "is missing; name a field of the same point")
    threshold = _threshold(table)
    return None if threshold is None or not field else Comparison(field, *threshold)


def _each(levels: TableReader | None) -> Iterator[tuple[Severity, TableReader]]:
    if levels is None:
        return
    levels.only(SEVERITIES)
    if not list(levels):
        levels.fault("", "holds no level; write one, or enabled: false for the rule")
    for severity in SEVERITIES:
        table = levels.table(severity)
        if table is not None:
            yield severity, table


def _threshold(table: TableReader) -> tuple[Direction, float] | None:
    given = [direction for direction in _DIRECTIONS if direction in table]
    if len(given) != 1:
        said = "both above and below are there" if given else "neither above nor below is there"
        table.fault(given[-1] if given else "above", f"{said}; write one of them")
        return None
    threshold = table.number(given[0])
    return None if threshold is None else (given[0], threshold)


def _level(table: TableReader, severity: Severity, for_ms: int) -> Level | None:
    table.only(("above", "below", "clear_below", "clear_above", "for"))
    own_ms = table.duration_ms("for")
    threshold = _threshold(table)
    if threshold is None:
        return None
    direction, value = threshold
    clear = _clear(table, direction, value)
    return Level(severity, direction, value, clear, for_ms if own_ms is None else own_ms)


def _clear(table: TableReader, direction: Direction, threshold: float) -> float | None:
    wanted, other = ("clear_below", "clear_above")[:: 1 if direction == "above" else -1]
    if other in table:
        table.fault(other, f"does not go with {direction}; write {wanted}")
    clear = table.number(wanted)
    if clear is None:
        return None
    if clear > threshold if direction == "above" else clear < threshold:
        side = "more" if direction == "above" else "less"
        limit = "at most" if direction == "above" else "at least"
        table.fault(
            wanted,
            f"{clear:g} is {side} than {direction}, which is {threshold:g}; "
            f"write {limit} {threshold:g}",
        )
    return clear


def _conflict(lower: Level, higher: Level) -> str:
    """Return what is wrong between two levels, ``""`` where nothing is."""
    one, other = (f"{level.direction} {level.threshold:g}" for level in (lower, higher))
    if lower.direction != higher.direction:
        return f"is {one} while {higher.severity} is {other}; write all levels in one direction"
    beyond = lower.threshold - higher.threshold
    if beyond * (1 if lower.direction == "above" else -1) > 0:
        return f"{one} is harder to reach than {higher.severity}, {other}; exchange the two"
    return ""


def _liveness(table: TableReader, severity: Severity, for_ms: int | None) -> LivenessLevel:
    table.only(("verdicts", "for", "above"))
    own_ms = table.duration_ms("for")
    seconds = table.number("above")
    if seconds is not None:
        if "for" in table:
            table.fault("above", "says the same as for; write one of them")
        if seconds < 0:
            table.fault("above", "must be seconds of silence, 0 or more")
        own_ms = round(seconds * 1000)
    if own_ms is None:
        own_ms = _LIVENESS_FOR_MS[severity] if for_ms is None else for_ms
    return LivenessLevel(severity, _verdicts(table), own_ms)


def _verdicts(table: TableReader) -> tuple[Verdict, ...]:
    node = table.node_of("verdicts")
    if node is None:
        return VERDICTS
    named = [one.raw for one in node.value] if isinstance(node.value, list) else []
    if not named or not set(named) <= set(VERDICTS):
        table.fault("verdicts", f"must be a list of some of: {', '.join(VERDICTS)}")
    return tuple(verdict for verdict in VERDICTS if verdict in named)
