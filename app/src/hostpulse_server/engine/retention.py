"""Purges alerts, messages and incidents past their retention, in small portions."""

from __future__ import annotations

from functools import partial
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

    from hostpulse_server.runtime.expiry import ExpiryGuard

SECONDS: Final = 60.0
PORTION: Final = 500
_DAY_MS: Final = 86_400_000
ALERTS_MS: Final = 90 * _DAY_MS
SENT_MS: Final = 7 * _DAY_MS
GROUPS_MS: Final = _DAY_MS


def purge(session: Session, expiry: ExpiryGuard) -> int:
    """Delete a portion of each; return how many rows went.

    With an alert go its events and its entries of the notification log.
    """
    reported = sa.select(NotificationLogRow.group_id).where(
        NotificationLogRow.group_id == AlertGroupRow.id
    )
    deleted = 0
    for name, table, keep_ms, at, may_go in (
        ("alerts", AlertRow, ALERTS_MS, AlertRow.resolved_ms, sa.true()),
        ("sent", OutboxRow, SENT_MS, OutboxRow.done_ms, OutboxRow.state == "sent"),
        ("failed", OutboxRow, ALERTS_MS, OutboxRow.done_ms, OutboxRow.state == "failed"),
        ("groups", AlertGroupRow, GROUPS_MS, AlertGroupRow.closed_ms, ~reported.exists()),
    ):
        oldest = sa.select(sa.func.min(at)).where(may_go)
        before_ms = expiry.cutoff(name, keep_ms, partial(session.scalar, oldest))
        if before_ms is None:
            continue
        old = sa.select(table.id).where(at < before_ms, may_go)
        ids = list(session.scalars(old.order_by(table.id).limit(PORTION)))
        if ids:
            session.execute(sa.delete(table).where(table.id.in_(ids)))
        deleted += len(ids)
    return deleted
