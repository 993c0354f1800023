"""Reads from the state database what the planner decides on; no more than what is open."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeVar

import sqlalchemy as sa

from hostpulse_server.notifications import flap_history, outbox
from hostpulse_server.notifications.planner.state import (
    NotificationGroup,
    NotificationLogEntry,
    PlannedAlert,
    PlannerInput,
    Recurrence,
    Silence,
)
from hostpulse_server.state.alert_models import (
    AlertEventRow,
    AlertGroupRow,
    AlertRow,
    NotificationLogRow,
    SilenceRow,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy.orm import Session

    from hostpulse_server.notifications.planner.state import PlannerSettings

T = TypeVar("T")
PORTION: Final = 500  # bound parameters of one statement
_COLUMNS: Final = (
    AlertRow.id,
    AlertRow.fingerprint,
    AlertRow.rule,
    AlertRow.server_id,
    AlertRow.severity,
    AlertRow.tags,
    AlertRow.labels,
    AlertRow.measurement,
    AlertRow.field,
    AlertRow.evidence["facts"]["verdict"].as_string().label("verdict"),
    AlertRow.state,
    AlertRow.acknowledged_until_ms,
    AlertRow.reason,
    AlertRow.fired_ms,
)


def stamp(session: Session, now_ms: int) -> tuple[Any, ...]:
    """Return what differs once an alert, an acknowledgement or a silence has changed."""
    newest = session.scalar(sa.select(sa.func.max(AlertEventRow.id)))
    silences = session.execute(
        sa.select(
            sa.func.count(),
            sa.func.max(SilenceRow.id),
            sa.func.sum(SilenceRow.start_ms),
            sa.func.sum(SilenceRow.end_ms),
        ).where(SilenceRow.end_ms > now_ms - outbox.MINUTE_MS)
    ).one()
    return newest, *silences


def load(session: Session, settings: PlannerSettings, now_ms: int) -> PlannerInput:
    """Return the planner's input of this moment."""
    changes, changed = flap_history.changes(session, settings.flap, now_ms)
    log = [
        NotificationLogEntry(*row)
        for row in session.execute(
            sa.select(
                NotificationLogRow.alert_id,
                NotificationLogRow.channel,
                NotificationLogRow.group_id,
                NotificationLogRow.severity,
                NotificationLogRow.notified_ms,
            ).where(NotificationLogRow.over.is_(False))
        )
    ]
    alerts = [
        _alert(row, row.verdict)
        for row in session.execute(sa.select(*_COLUMNS).where(AlertRow.state == "firing"))
    ]
    missing = ({one.alert_id for one in log} | changed) - {one.id for one in alerts}
    alerts += [_alert(row, row.verdict) for row in _by_id(session, missing)]
    since_ms = min((one.notified_ms for one in log), default=now_ms)
    return PlannerInput(
        now_ms=now_ms,
        alerts=alerts,
        log=log,
        groups=_groups(session),
        returns=_returns(session, now_ms - settings.interval_ms) if alerts else {},
        kept=_kept(session) if alerts else {},
        changes=changes,
        flapping=flap_history.known(session),
        silences=_silences(session, min(since_ms, now_ms)),
        spent={name: outbox.spent(session, name, now_ms) for name in settings.channels},
    )


def planned(row: AlertRow) -> PlannedAlert:
    """Return an alert as the planner looks at it."""
    return _alert(row, ((row.evidence or {}).get("facts") or {}).get("verdict"))


def _alert(row: Any, verdict: str | None) -> PlannedAlert:
    series = None
    if row.measurement:
        tags = json.dumps(row.tags, sort_keys=True)
        series = (row.server_id, row.measurement, row.field, tags)
    return PlannedAlert(
        id=row.id,
        fingerprint=row.fingerprint,
        rule=row.rule,
        server_id=row.server_id,
        severity=row.severity,
        tags=row.tags,
        labels=row.labels,
        series=series,
        verdict=verdict or "",
        is_over=row.state == "resolved",
        is_revised=row.reason == "revised",
        acknowledged_until_ms=row.acknowledged_until_ms or 0,
        fired_ms=row.fired_ms or 0,
    )


def _by_id(session: Session, ids: Iterable[int]) -> Iterator[Any]:
    for portion in portions(sorted(ids)):
        yield from session.execute(sa.select(*_COLUMNS).where(AlertRow.id.in_(portion)))


def portions(ids: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield ids in as many as one statement takes."""
    for first in range(0, len(ids), PORTION):
        yield ids[first : first + PORTION]


def _groups(session: Session) -> list[NotificationGroup]:
    statement = sa.select(
        AlertGroupRow.channel,
        AlertGroupRow.key,
        AlertGroupRow.id,
        AlertGroupRow.wanted_ms,
        AlertGroupRow.notified_ms,
        AlertGroupRow.opened_ms,
    ).where(AlertGroupRow.closed_ms.is_(None))
    return [
        NotificationGroup(
            row.channel, row.key, row.id, row.wanted_ms or row.opened_ms, row.notified_ms
        )
        for row in session.execute(statement)
    ]


def _returns(session: Session, since_ms: int) -> dict[tuple[str, str], Recurrence]:
    statement = (
        sa.select(
            NotificationLogRow.channel,
            AlertRow.fingerprint,
            NotificationLogRow.severity,
            NotificationLogRow.notified_ms,
        )
        .join(AlertRow, AlertRow.id == NotificationLogRow.alert_id)
        .where(NotificationLogRow.over.is_(True), NotificationLogRow.notified_ms > since_ms)
        .order_by(NotificationLogRow.notified_ms)
    )
    return {
        (row.channel, row.fingerprint): Recurrence(row.severity, row.notified_ms)
        for row in session.execute(statement)
    }


def _kept(session: Session) -> dict[tuple[str, str], NotificationLogEntry]:
    """Return the newest entry of open groups by channel and fingerprint."""
    statement = (
        sa.select(
            AlertRow.fingerprint,
            NotificationLogRow.alert_id,
            NotificationLogRow.channel,
            NotificationLogRow.group_id,
            NotificationLogRow.severity,
            NotificationLogRow.notified_ms,
        )
        .join(AlertGroupRow, AlertGroupRow.id == NotificationLogRow.group_id)
        .join(AlertRow, AlertRow.id == NotificationLogRow.alert_id)
        .where(AlertGroupRow.closed_ms.is_(None), AlertGroupRow.notified_ms.is_not(None))
        .order_by(NotificationLogRow.alert_id)
    )
    return {
        (row.channel, row.fingerprint): NotificationLogEntry(*row[1:])
        for row in session.execute(statement)
    }


def _silences(session: Session, since_ms: int) -> list[Silence]:
    statement = sa.select(
        SilenceRow.matchers, SilenceRow.start_ms, SilenceRow.end_ms, SilenceRow.id
    )
    return [Silence(*row) for row in session.execute(statement.where(SilenceRow.end_ms > since_ms))]
