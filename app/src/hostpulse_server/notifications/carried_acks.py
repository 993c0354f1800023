"""Carries acknowledgements over: whoever works on an alert is not alarmed when it comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from hostpulse_server.state.alert_models import (
    AlertEventRow,
    AlertGroupRow,
    AlertRow,
    NotificationLogRow,
)

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def carry_over(session: Session, now_ms: int) -> None:
    """Acknowledge alerts that fire as the last of the same fingerprint was.

    That one has to be of a group that is open. Who takes an acknowledgement back is not overruled.
    """
    notified = (
        sa.select(AlertRow)
        .join(NotificationLogRow, NotificationLogRow.alert_id == AlertRow.id)
        .join(AlertGroupRow, AlertGroupRow.id == NotificationLogRow.group_id)
        .where(AlertGroupRow.closed_ms.is_(None), AlertRow.state == "resolved")
        .order_by(AlertRow.id)
    )
    in_force = AlertRow.acknowledged_until_ms > now_ms
    prints = {row.fingerprint for row in session.scalars(notified.where(in_force))}
    if not prints:
        return
    of_these = AlertRow.fingerprint.in_(prints)
    last = {row.fingerprint: row for row in session.scalars(notified.where(of_these))}
    is_taken_back = sa.exists().where(
        AlertEventRow.alert_id == AlertRow.id, AlertEventRow.kind == "unacknowledged"
    )
    firing = sa.select(AlertRow).where(
        of_these,
        AlertRow.state == "firing",
        AlertRow.acknowledged_until_ms.is_(None),
        ~is_taken_back,
    )
    for after in session.scalars(firing):
        before = last[after.fingerprint]
        if before.id > after.id or (before.acknowledged_until_ms or 0) <= now_ms:
            continue
        after.acknowledged_by = before.acknowledged_by
        after.acknowledged_ms = before.acknowledged_ms
        after.acknowledged_until_ms = before.acknowledged_until_ms
        after.comment = before.comment
        document = {
            "by": before.acknowledged_by or "",
            "until": before.acknowledged_until_ms,
            "comment": before.comment,
            "carried_from": before.id,
        }
        event = AlertEventRow(
            alert_id=after.id, at_ms=now_ms, kind="acknowledged", document=document
        )
        session.add(event)
    session.flush()
