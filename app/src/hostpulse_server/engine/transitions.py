"""The measurement ``alert``, for dashboards: one point a transition, two where severity changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_server.values.points import StorePoint
from hostpulse_server.wire.points import check_tag_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hostpulse_server.engine.alert_store import AlertChange

MEASUREMENT = "alert"
_STATES = {"firing": "firing", "severity": "firing", "resolved": "resolved"}
# what a transition adds to the number of alerts that fire with its severity
_STEPS = {"firing": 1.0, "severity": 1.0, "resolved": -1.0}


def points(changes: Iterable[AlertChange]) -> list[StorePoint]:
    """Return the points of changes that were notified or might have been.

    A series keeps one value a time: where several mounts of a host fill up at once, the points
    are a millisecond apart. Where a severity changes, the one there was has a point too, of
    nothing but ``change``: so that of each severity the sum is how many fire.
    """
    found = []
    taken: set[tuple[str, str, str, str, int]] = set()
    for change in changes:
        state = _STATES.get(change.kind)
        if state is None:
            continue
        for severity, fields in _said(change):
            identity = change.condition.identity
            time_ms = change.condition.at_ms
            while (
                series := (identity.server_id, identity.rule, severity, state, time_ms)
            ) in taken:
                time_ms += 1
            taken.add(series)
            tags = {"rule": identity.rule, "severity": severity, "state": state}
            kept = tuple((name, text) for name, text in tags.items() if not check_tag_value(text))
            found.append(StorePoint(identity.server_id, MEASUREMENT, kept, time_ms, fields))
    return found


def _said(change: AlertChange) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield (severity, fields) of each point of a change."""
    condition = change.condition
    if change.before:
        yield change.before, {"change": -1.0}
    fields = {
        "change": _STEPS[change.kind],
        "duration_seconds": max(0, condition.at_ms - condition.started_ms) / 1000,
    }
    if condition.value is not None:
        fields["value"] = float(condition.value)
    if condition.threshold is not None:
        fields["threshold"] = float(condition.threshold)
    if condition.is_late:
        fields["late"] = 1.0
    yield condition.severity, fields
