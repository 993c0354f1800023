"""Writes what was planned: groups, who was told what, and messages for the outbox."""

from __future__ import annotations

import dataclasses
import uuid
from typing import TYPE_CHECKING

import sqlalchemy as sa

from hostpulse_server.alerts.dispatch import grouping, outbox
from hostpulse_server.alerts.dispatch.book import STORM
from hostpulse_server.alerts.dispatch.messages import Views, count
from hostpulse_server.alerts.dispatch.rows import portions
from hostpulse_server.state.alert_models import AlertGroupRow, AlertTellingRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy.orm import Session

    from hostpulse_server.alerts.dispatch.book import Alert, Group, Message, Plan, Telling
    from hostpulse_server.alerts.links import Links
    from hostpulse_server.config import ServerConfig
    from hostpulse_server.registry import Server


class Writer:
    """Writes one plan, in a session of the caller."""

    def __init__(
        self,
        session: Session,
        config: ServerConfig,
        links: Links,
        servers: Callable[[str], Server | None],
        now_ms: int,
    ) -> None:
        self._session = session
        self._config = config
        self._links = links
        self._now_ms = now_ms
        self._views = Views(session, config, servers, now_ms)

    def write(self, plan: Plan) -> None:
        """Write all of it."""
        self._forget(plan.forgotten)
        self._close(plan.closed)
        dropped = [group.id for group in plan.dropped if group.id is not None]
        for portion in portions(dropped):
            self._session.execute(sa.delete(AlertGroupRow).where(AlertGroupRow.id.in_(portion)))
        for group in plan.opened:
            self._session.add(self._open(group))
        for message in plan.messages:
            self._tell(message)
        self._session.flush()

    def _open(self, group: Group) -> AlertGroupRow:
        return AlertGroupRow(
            incident=uuid.uuid4().hex,
            channel=group.channel,
            key=group.key,
            opened_ms=self._now_ms,
            wanted_ms=group.wanted_ms,
            messages=0,
        )

    def _close(self, groups: Iterable[Group]) -> None:
        ids = [group.id for group in groups if group.id is not None]
        for portion in portions(ids):
            self._session.execute(
                sa.update(AlertGroupRow)
                .where(AlertGroupRow.id.in_(portion))
                .values(closed_ms=self._now_ms, wanted_ms=None)
                .execution_options(synchronize_session=False)
            )

    def _forget(self, tellings: Iterable[Telling]) -> None:
        for one in tellings:
            self._session.execute(
                sa.update(AlertTellingRow)
                .where(
                    AlertTellingRow.alert_id == one.alert_id, AlertTellingRow.channel == one.channel
                )
                .values(over=True)
                .execution_options(synchronize_session=False)
            )

    def _tell(self, message: Message) -> None:
        """Queue a message and note that its alerts are told."""
        counts = count(self._session, message)
        row = self._row(message.group)
        row.messages += 1
        row.told_ms, row.wanted_ms = self._now_ms, None
        if message.closes:
            row.closed_ms = self._now_ms
        self._session.flush()
        self._note(message, row.id)
        told = [*message.news, *message.ends]
        group = {} if row.key == STORM else grouping.values(self._config, told[0])
        notification = dataclasses.replace(
            self._views.notification(message, counts, group),
            incident=row.incident,
            number=row.messages,
            act_url=self._links.url(row.incident, row.channel) if message.news else "",
        )
        ids = [alert.id for alert in (*told, *message.superseded)]
        outbox.add(self._session, notification, alert_ids=ids, group_id=row.id)

    def _row(self, group: Group) -> AlertGroupRow:
        if group.id is not None:
            return self._session.get_one(AlertGroupRow, group.id, populate_existing=True)
        row = self._open(group)
        self._session.add(row)
        return row

    def _note(self, message: Message, group_id: int) -> None:
        """Keep what the channel knows now."""
        channel = message.group.channel
        known = self._known(message.news, channel)
        for alert in message.news:
            values = {"severity": alert.severity, "told_ms": self._now_ms}
            if alert.id in known:
                self._update([alert], channel, **values)
            else:
                row = AlertTellingRow(
                    alert_id=alert.id, channel=channel, group_id=group_id, over=False, **values
                )
                self._session.add(row)
        self._session.flush()
        self._update([*message.ends, *message.superseded], channel, over=True, told_ms=self._now_ms)

    def _known(self, alerts: Iterable[Alert], channel: str) -> set[int]:
        known: set[int] = set()
        for portion in portions([alert.id for alert in alerts]):
            known.update(
                self._session.scalars(
                    sa.select(AlertTellingRow.alert_id).where(
                        AlertTellingRow.channel == channel, AlertTellingRow.alert_id.in_(portion)
                    )
                )
            )
        return known

    def _update(self, alerts: Iterable[Alert], channel: str, **values: object) -> None:
        for portion in portions([alert.id for alert in alerts]):
            self._session.execute(
                sa.update(AlertTellingRow)
                .where(AlertTellingRow.channel == channel, AlertTellingRow.alert_id.in_(portion))
                .values(**values)
                .execution_options(synchronize_session=False)
            )
