"""Why channels were not notified, in the history of alerts: written when it begins or changes.

What begins for many alerts at once, in a storm or under one silence, is one event that names them
all: ``suppressed_many``. So the events of an alert are its own, and those that name it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from hostpulse_server.notifications.planner.state import Suppression
from hostpulse_server.notifications.routing import route
from hostpulse_server.state.alert_models import AlertEventRow, AlertRow, NotificationLogRow
from hostpulse_server.values.matchers import properties

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.orm import Session

    from hostpulse_server.config import ServerConfig

SUPPRESSED: Final = "suppressed"
SUPPRESSED_MANY: Final = "suppressed_many"
# from so many alerts on, one event is of all of them
MANY: Final = 3
_MOST: Final = 2_000  # alerts that one event names

_Key = tuple[int, str]  # alert and channel, "" for all


class SuppressionHistory:
    """What is suppressed as the history has it; read from there at the start."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._known: Mapping[_Key, Suppression] | None = None
        self._last: tuple[int, dict[str, Any]] | None = None

    def note(self, session: Session, found: Mapping[_Key, Suppression], now_ms: int) -> bool:
        """Write what has begun or changed, in the session of the caller; return whether any had.

        The transaction before may have failed: what it was to write is looked for.
        """
        if self._known is None or not self._is_written(session):
            self._known, self._last = _read(session), None
        known = self._known
        changed: defaultdict[int, defaultdict[Suppression, list[str]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for key, why in found.items():
            if known.get(key) != why:
                changed[key[0]][why].append(key[1])
        self._known = dict(found)
        if not changed:
            return False
        alerts: defaultdict[tuple[Suppression, tuple[str, ...]], list[int]] = defaultdict(list)
        for alert_id, whys in changed.items():
            for why, channels in whys.items():
                alerts[self._named(session, alert_id, why), tuple(channels)].append(alert_id)
        rows = [
            row
            for (why, channels), ids in alerts.items()
            for row in _rows(_document(why, channels), ids, now_ms)
        ]
        session.add_all(rows)
        session.flush()
        self._last = rows[-1].id, rows[-1].document
        return True

    def _is_written(self, session: Session) -> bool:
        if self._last is None:
            return True
        number, document = self._last
        found = session.scalar(sa.select(AlertEventRow.document).where(AlertEventRow.id == number))
        return found == document

    def _named(self, session: Session, alert_id: int, why: Suppression) -> Suppression:
        """Return why no channel is notified: which route has none, or that there are no routes."""
        if why.reason != "no_route":
            return why
        row = session.get_one(AlertRow, alert_id)
        if not self._config.routes:
            return why._replace(reason="level")
        values = properties(row.severity, row.rule, row.server_id, row.labels)
        return why._replace(by=route(self._config, values).number)


def _document(why: Suppression, channels: Sequence[str]) -> dict[str, Any]:
    return {
        "channels": [name for name in channels if name],
        "reason": why.reason,
        "by": why.by,
        "until": why.until_ms,
    }


def _rows(document: dict[str, Any], ids: Sequence[int], now_ms: int) -> Iterator[AlertEventRow]:
    if len(ids) < MANY:
        for number in ids:
            yield AlertEventRow(alert_id=number, at_ms=now_ms, kind=SUPPRESSED, document=document)
        return
    for first in range(0, len(ids), _MOST):
        part = list(ids[first : first + _MOST])
        # the newest alert is the last to be deleted, and this event with it
        yield AlertEventRow(
            alert_id=max(part),
            at_ms=now_ms,
            kind=SUPPRESSED_MANY,
            document={**document, "alerts": part},
        )


def _read(session: Session) -> dict[_Key, Suppression]:
    """Return what was written last of each alert and channel, of alerts that are open."""
    event, log = AlertEventRow, NotificationLogRow
    is_open = sa.or_(
        AlertRow.state == "firing",
        AlertRow.id.in_(sa.select(log.alert_id).where(log.over.is_(False))),
    )
    of_open = sa.select(event).join(AlertRow, AlertRow.id == event.alert_id).where(is_open)
    first = session.scalar(of_open.with_only_columns(sa.func.min(event.id)))
    if first is None:
        return {}
    columns = (event.id, event.alert_id, event.document)
    own = session.execute(of_open.with_only_columns(*columns).where(event.kind == SUPPRESSED)).all()
    of_many = session.execute(
        sa.select(*columns).where(event.kind == SUPPRESSED_MANY, event.id >= first)
    ).all()
    known: dict[_Key, Suppression] = {}
    for _, alert_id, document in sorted([*own, *of_many], key=lambda row: row[0]):
        # written by the routes in force then; the planner says no more than that there is none
        is_unrouted = document["reason"] in ("level", "no_route")
        why = Suppression(
            "no_route" if is_unrouted else document["reason"],
            None if is_unrouted else document["by"],
            document["until"],
        )
        for number in document.get("alerts", (alert_id,)):
            known.update(((number, channel), why) for channel in document["channels"] or ("",))
    return known
