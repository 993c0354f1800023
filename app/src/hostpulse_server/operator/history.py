"""Reads alerts, their events and silences, within a session of the caller."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from hostpulse_server.state.alert_models import AlertEventRow, AlertRow, SilenceRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.orm import Session

_PORTION = 500  # bound parameters of one statement


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts: ``""`` is any."""

    state: str = ""
    rule: str = ""
    server_id: str = ""
    severity: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


class PageCursor(NamedTuple):
    """Where a page of the history ended: the next begins before it."""

    fired_ms: int
    alert_id: int


def active(session: Session, wanted: AlertFilter, *, after: int, limit: int) -> Sequence[AlertRow]:
    """Return alerts that are not over, those with a larger id than ``after``, in that order."""
    statement = _matching(wanted).where(AlertRow.resolved_ms.is_(None), AlertRow.id > after)
    return session.scalars(statement.order_by(AlertRow.id).limit(limit)).all()


def fired(
    session: Session,
    wanted: AlertFilter,
    *,
    limit: int,
    start_ms: int | None = None,
    end_ms: int | None = None,
    before: PageCursor | None = None,
) -> Sequence[AlertRow]:
    """Return alerts that fired at some time from start to end, the newest first."""
    statement = _matching(wanted).where(
        AlertRow.fired_ms.is_not(None), AlertRow.reason != "revised"
    )
    if start_ms is not None:
        over = AlertRow.resolved_ms
        statement = statement.where(sa.or_(over.is_(None), over >= start_ms))
    if end_ms is not None:
        statement = statement.where(AlertRow.fired_ms < end_ms)
    if before is not None:
        earlier = AlertRow.fired_ms < before.fired_ms
        same = sa.and_(AlertRow.fired_ms == before.fired_ms, AlertRow.id < before.alert_id)
        statement = statement.where(sa.or_(earlier, same))
    newest = (AlertRow.fired_ms.desc(), AlertRow.id.desc())
    return session.scalars(statement.order_by(*newest).limit(limit)).all()


def _matching(wanted: AlertFilter) -> sa.Select[AlertRow]:
    given = {
        AlertRow.state: wanted.state,
        AlertRow.rule: wanted.rule,
        AlertRow.server_id: wanted.server_id,
        AlertRow.severity: wanted.severity,
    }
    return sa.select(AlertRow).where(
        *(column == text for column, text in given.items() if text),
        *(AlertRow.labels[name].as_string() == text for name, text in wanted.labels.items()),
    )


def events(session: Session, alert_id: int) -> Sequence[AlertEventRow]:
    """Return the events of an alert, the oldest first, with those of many that name it."""
    own = session.scalars(sa.select(AlertEventRow).where(AlertEventRow.alert_id == alert_id)).all()
    if not own:
        return own
    ids = [one.id for one in own]
    of_many = sa.select(AlertEventRow).where(
        AlertEventRow.id > min(ids),
        AlertEventRow.kind == "suppressed_many",
        AlertEventRow.alert_id != alert_id,
    )
    if any(one.kind == "resolved" for one in own):
        of_many = of_many.where(AlertEventRow.id < max(ids))
    named = [one for one in session.scalars(of_many) if alert_id in one.document["alerts"]]
    return sorted([*own, *named], key=lambda one: (one.at_ms, one.id))


def notified(session: Session, alert_ids: Iterable[int]) -> dict[int, list[AlertEventRow]]:
    """Return the confirmed messages about each alert, the oldest first."""
    found: dict[int, list[AlertEventRow]] = defaultdict(list)
    wanted = sorted(alert_ids)
    for first in range(0, len(wanted), _PORTION):
        portion = wanted[first : first + _PORTION]
        rows = session.scalars(
            sa.select(AlertEventRow)
            .where(AlertEventRow.alert_id.in_(portion), AlertEventRow.kind == "told")
            .order_by(AlertEventRow.at_ms, AlertEventRow.id)
        )
        for row in rows:
            found[row.alert_id].append(row)
    return found


def silences(
    session: Session,
    now_ms: int,
    *,
    expired: bool = False,
    after: int = 0,
    limit: int | None = None,
) -> Sequence[SilenceRow]:
    """Return silences that are in force or to come, in the order of ids; or all."""
    statement = sa.select(SilenceRow).where(SilenceRow.id > after)
    if not expired:
        statement = statement.where(SilenceRow.end_ms > now_ms)
    return session.scalars(statement.order_by(SilenceRow.id).limit(limit)).all()
