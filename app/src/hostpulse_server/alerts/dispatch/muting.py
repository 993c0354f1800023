"""Which alerts are not told for now: silenced, or a consequence of what is told already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_server.alerts import history
from hostpulse_server.alerts.model import NO_SERVER
from hostpulse_server.alerts.properties import matches, properties

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.orm import Session

    from hostpulse_server.state.alert_models import AlertRow


def muted(session: Session, rows: Collection[AlertRow], now_ms: int) -> set[int]:
    """Return the ids of firing alerts that are not told now."""
    firing = [row for row in rows if row.state == "firing"]
    return _inhibited(firing) | _silenced(session, firing, now_ms)


def _silenced(session: Session, rows: Collection[AlertRow], now_ms: int) -> set[int]:
    in_force = [
        one.matchers
        for one in history.silences(session, now_ms)
        if one.start_ms <= now_ms < one.end_ms
    ]
    if not in_force:
        return set()
    found = set()
    for row in rows:
        values = properties(row.severity, row.rule, row.server_id, row.labels, row.tags)
        if any(matches(matchers, values) for matchers in in_force):
            found.add(row.id)
    return found


def _inhibited(rows: Collection[AlertRow]) -> set[int]:
    liveness = {row.id: _facts(row) for row in rows if _facts(row).get("kind") == "liveness"}
    down = {row.server_id for row in rows if liveness.get(row.id, {}).get("verdict") == "host_down"}
    is_us = any(row.id in liveness and row.server_id == NO_SERVER for row in rows)
    critical = {_series(row) for row in rows if row.severity == "critical" and row.measurement}
    found = set()
    for row in rows:
        if row.server_id == NO_SERVER:
            continue
        if row.id in liveness:
            is_muted = is_us
        else:
            is_minor = row.severity != "critical" and _series(row) in critical
            is_muted = row.server_id in down or is_minor
        if is_muted:
            found.add(row.id)
    return found


def _facts(row: AlertRow) -> dict[str, str]:
    facts: dict[str, str] = row.evidence.get("facts") or {}
    return facts


def _series(row: AlertRow) -> tuple[object, ...]:
    return (row.server_id, row.measurement, row.field, tuple(sorted(row.tags.items())))
