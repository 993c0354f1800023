"""Alerts and silences as the API and ``--json`` show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostpulse_server.operator import history
from hostpulse_server.operator.timeline import timeline
from hostpulse_server.values.matchers import matches, properties

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.orm import Session

    from hostpulse_server.operator.timeline import Destinations
    from hostpulse_server.state.alert_models import AlertEventRow, AlertRow, SilenceRow


def alerts_json(session: Session, rows: Sequence[AlertRow], now_ms: int) -> list[dict[str, Any]]:
    """Return alerts as JSON types, with the channels notified and what silences them now."""
    notified = history.notified(session, [row.id for row in rows])
    active = [one for one in history.silences(session, now_ms) if one.start_ms <= now_ms]
    return [alert_json(row, notified.get(row.id, ()), active, now_ms) for row in rows]


def alert_json(
    row: AlertRow, notified: Iterable[AlertEventRow], active: Iterable[SilenceRow], now_ms: int
) -> dict[str, Any]:
    """Return one alert as JSON types."""
    until_ms = now_ms if row.resolved_ms is None else row.resolved_ms
    return {
        "id": row.id,
        "rule": row.rule,
        "server_id": row.server_id,
        "tags": row.tags,
        "severity": row.severity,
        "state": row.state,
        "value": row.value,
        "threshold": row.threshold,
        "measurement": row.measurement,
        "field": row.field,
        "summary": row.summary,
        "labels": row.labels,
        "runbook": row.runbook,
        "evidence": row.evidence,
        "started": row.started_ms,
        "fired": row.fired_ms,
        "resolved": row.resolved_ms,
        "reason": row.reason or None,
        "duration_ms": None if row.fired_ms is None else max(0, until_ms - row.fired_ms),
        "acknowledged": acknowledgement(row, now_ms),
        "told": [{"channel": one.document.get("channel", ""), "at": one.at_ms} for one in notified],
        "silenced_by": [] if row.resolved_ms is not None else silenced_by(row, active),
    }


def detail_json(session: Session, row: AlertRow, to: Destinations, now_ms: int) -> dict[str, Any]:
    """Return one alert as JSON types, with its events and its timeline."""
    events = history.events(session, row.id)
    return {
        **alerts_json(session, [row], now_ms)[0],
        "events": [event_json(event) for event in events],
        "timeline": timeline(session, row, events, to),
    }


def acknowledgement(row: AlertRow, now_ms: int) -> dict[str, Any] | None:
    """Return who acknowledged an alert; one that has run out counts only if the alert is over."""
    if row.acknowledged_by is None or row.acknowledged_until_ms is None:
        return None
    if row.resolved_ms is None and row.acknowledged_until_ms <= now_ms:
        return None
    return {
        "by": row.acknowledged_by,
        "at": row.acknowledged_ms,
        "until": row.acknowledged_until_ms,
        "comment": row.comment,
    }


def silenced_by(row: AlertRow, active: Iterable[SilenceRow]) -> list[int]:
    """Return the ids of the silences that match an alert."""
    values = properties_of(row)
    return [one.id for one in active if matches(one.matchers, values)]


def properties_of(row: AlertRow) -> Mapping[str, str]:
    """Return what globs see of an alert."""
    return properties(row.severity, row.rule, row.server_id, row.labels, row.tags)


def event_json(row: AlertEventRow) -> dict[str, Any]:
    """Return an event of an alert as JSON types; one of many says of how many."""
    if row.kind == "suppressed_many":
        details = {**row.document, "alerts": len(row.document["alerts"])}
        return {"at": row.at_ms, "kind": "suppressed", "details": details}
    return {"at": row.at_ms, "kind": row.kind, "details": row.document}


def silence_json(row: SilenceRow, now_ms: int) -> dict[str, Any]:
    """Return a silence as JSON types."""
    state = "expired" if row.end_ms <= now_ms else "active" if row.start_ms <= now_ms else "future"
    return {
        "id": row.id,
        "matchers": row.matchers,
        "start": row.start_ms,
        "end": row.end_ms,
        "comment": row.comment,
        "by": row.created_by,
        "created": row.created_ms,
        "state": state,
    }
