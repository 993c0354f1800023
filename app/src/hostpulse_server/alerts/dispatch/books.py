"""The rows that dispatch decides by, and writing down what was told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from hostpulse_server.alerts.dispatch.plan import Group, Place, Telling
from hostpulse_server.state.alert_models import AlertGroupRow, AlertRow, AlertTellingRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

    from hostpulse_server.alerts.dispatch.plan import Message

_PORTION = 500
_KEY_CHARACTERS = 1024


@dataclass(frozen=True, slots=True)
class OpenGroup:
    """An open incident's row, and what the planner sees of it."""

    row: AlertGroupRow
    standing: Group


@dataclass(slots=True)
class Books:
    """``alerts``: those that fire, and those that ended while a channel does not know it."""

    alerts: dict[int, AlertRow]
    tellings: dict[tuple[int, str], Telling]
    groups: dict[Place, OpenGroup]
    returns: dict[tuple[str, str], int]

    def open(self, session: Session, place: Place, incident: str, now_ms: int) -> None:
        """Open an incident."""
        channel, key = place
        row = AlertGroupRow(
            incident=incident, channel=channel, key=key, opened_ms=now_ms, messages=0
        )
        session.add(row)
        session.flush()
        self.groups[place] = OpenGroup(row, Group(None, None))

    def tell(self, session: Session, message: Message, group_id: int, now_ms: int) -> None:
        """Write down what the channel now knows."""
        channel = message.place[0]
        told = (*message.news, *message.ended)
        if message.kind == "repeat":
            told = message.still
        over = set(message.ended)
        for number in told:
            session.merge(
                AlertTellingRow(
                    alert_id=number,
                    channel=channel,
                    group_id=group_id,
                    severity=self.alerts[number].severity,
                    over=number in over,
                    told_ms=now_ms,
                )
            )


def read(session: Session, now_ms: int, interval_ms: int) -> Books:
    """Return all that dispatch decides by."""
    tellings = session.execute(
        sa.select(
            AlertTellingRow.alert_id,
            AlertTellingRow.channel,
            AlertTellingRow.severity,
            AlertTellingRow.told_ms,
        ).where(AlertTellingRow.over.is_(False))
    ).all()
    alerts = {
        row.id: row
        for row in session.scalars(sa.select(AlertRow).where(AlertRow.state == "firing"))
    }
    ended = sorted({one.alert_id for one in tellings} - alerts.keys())
    for first in range(0, len(ended), _PORTION):
        portion = sa.select(AlertRow).where(AlertRow.id.in_(ended[first : first + _PORTION]))
        alerts |= {row.id: row for row in session.scalars(portion)}
    groups = session.scalars(sa.select(AlertGroupRow).where(AlertGroupRow.closed_ms.is_(None)))
    return Books(
        alerts=alerts,
        tellings={
            (one.alert_id, one.channel): Telling(one.severity, one.told_ms) for one in tellings
        },
        groups={
            (row.channel, row.key): OpenGroup(row, Group(row.wanted_ms, row.told_ms))
            for row in groups
        },
        returns=_returns(session, now_ms - interval_ms) if alerts else {},
    )


def _returns(session: Session, since_ms: int) -> dict[tuple[str, str], int]:
    rows = session.execute(
        sa.select(AlertTellingRow.channel, AlertRow.fingerprint, AlertTellingRow.told_ms)
        .join(AlertRow, AlertRow.id == AlertTellingRow.alert_id)
        .where(
            AlertTellingRow.over.is_(True),
            AlertTellingRow.told_ms > since_ms,
            AlertRow.resolved_ms > since_ms - 3_600_000,
        )
    )
    return {(channel, fingerprint): told_ms for channel, fingerprint, told_ms in rows}


def group_values(group_by: Sequence[str], row: AlertRow) -> dict[str, str]:
    """Return the values that alerts of one group share."""
    own = {"rule": row.rule, "severity": row.severity, "server_id": row.server_id}
    labels: Mapping[str, str] = row.labels
    return {
        name: own[name] if name in own else labels.get(name.removeprefix("label."), "")
        for name in group_by
    }


def group_key(group_by: Sequence[str], row: AlertRow) -> str:
    """Return the group's key: JSON of its values."""
    return json.dumps(list(group_values(group_by, row).values()))[:_KEY_CHARACTERS]
