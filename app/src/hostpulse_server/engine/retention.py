"""Purges alerts, messages and incidents past their retention, in small portions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from hostpulse_server.state.alert_models import (
    AlertGroupRow,
    AlertRow,
    NotificationLogRow,
    OutboxRow,
)

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

SECONDS: Final = 60.0
PORTION: Final = 500
_DAY_MS: Final = 86_400_000
ALERTS_MS: Final = 90 * _DAY_MS
SENT_MS: Final = 7 * _DAY_MS
GROUPS_MS: Final = _DAY_MS


def purge(session: Session, now_ms: int) -> int:
    """Delete a portion of each; return how many rows went.

    With an alert go its events and its entries of the notification log.
    """
    alerts = sa.select(AlertRow.id).where(AlertRow.resolved_ms < now_ms - ALERTS_MS)
    done = sa.select(OutboxRow.id).where(
        sa.or_(
            sa.and_(OutboxRow.state == "sent", OutboxRow.done_ms < now_ms - SENT_MS),
            sa.and_(OutboxRow.state == "failed", OutboxRow.done_ms < now_ms - ALERTS_MS),
        )
    )
    reported = sa.select(NotificationLogRow.group_id).where(
        NotificationLogRow.group_id == AlertGroupRow.id
    )
    groups = sa.select(AlertGroupRow.id).where(
        AlertGroupRow.closed_ms < now_ms - GROUPS_MS, ~reported.exists()
    )
    deleted = 0
    for table, old in ((AlertRow, alerts), (OutboxRow, done), (AlertGroupRow, groups)):
        ids = list(session.scalars(old.order_by(table.id).limit(PORTION)))
        if ids:
            session.execute(sa.delete(table).where(table.id.in_(ids)))
        deleted += len(ids)
    return deleted
