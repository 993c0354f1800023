"""Edges that were over before anybody heard of them: what channels are owed.

A group that was not notified yet, of alerts that are over, is one message "was". A release without
such messages drops the group.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from hostpulse_server.notifications.repository import planned
from hostpulse_server.state.alert_models import AlertGroupRow, NotificationLogRow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

    from hostpulse_server.notifications.planner.state import PlannerSettings
    from hostpulse_server.state.alert_models import AlertRow

_PREFIX: Final = "was "  # keys of other groups are JSON, or a hash


def note(
    session: Session, settings: PlannerSettings, rows: Iterable[AlertRow], now_ms: int
) -> None:
    """Note for each channel that an alert is routed to that it is owed a message."""
    for row in rows:
        alert = planned(row)
        key = _PREFIX + hashlib.sha256(settings.key(alert).encode()).hexdigest()
        for channel in settings.route(alert):
            entry = NotificationLogRow(
                alert_id=alert.id,
                channel=channel,
                group_id=_group(session, channel, key, now_ms),
                severity=alert.severity,
                over=False,
                notified_ms=now_ms,
            )
            session.add(entry)
    session.flush()


def _group(session: Session, channel: str, key: str, now_ms: int) -> int:
    """Return the open group of that key, a new one if there is none."""
    found = session.scalar(
        sa.select(AlertGroupRow.id).where(
            AlertGroupRow.channel == channel,
            AlertGroupRow.key == key,
            AlertGroupRow.closed_ms.is_(None),
        )
    )
    if found is not None:
        return found
    row = AlertGroupRow(
        incident=uuid.uuid4().hex,
        channel=channel,
        key=key,
        opened_ms=now_ms,
        wanted_ms=now_ms,
        messages=0,
    )
    session.add(row)
    session.flush()
    return row.id
