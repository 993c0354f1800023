"""Writes a notification plan: groups, the notification log, and messages for the outbox."""

from __future__ import annotations

import dataclasses
import uuid
from typing import TYPE_CHECKING

import sqlalchemy as sa

from hostpulse_server.notifications import flap_history, grouping, outbox
from hostpulse_server.notifications.composer import count
from hostpulse_server.notifications.repository import PORTION, portions
from hostpulse_server.state.alert_models import AlertGroupRow, AlertRow, NotificationLogRow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

    from hostpulse_server.config import ServerConfig
    from hostpulse_server.notifications.action_links import ActionLinks
    from hostpulse_server.notifications.composer import AlertViews
    from hostpulse_server.notifications.planner.state import (
        NotificationGroup,
        NotificationLogEntry,
        NotificationPlan,
        PlannedAlert,
        PlannedMessage,
    )


class PlanWriter:
    """Writes one plan, in a session of the caller."""

    def __init__(
        self,
        session: Session,
        config: ServerConfig,
        links: ActionLinks,
        views: AlertViews,
        now_ms: int,
    ) -> None:
        self._session = session
        self._config = config
        self._links = links
        self._now_ms = now_ms
        self._views = views

    def write(self, plan: NotificationPlan) -> None:
        """Write all of it."""
        self._forget(plan.forgotten)
        for entry in plan.adopted:
            self._adopt(entry)
        self._close(plan.closed)
        dropped = [group.id for group in plan.dropped if group.id is not None]
        for portion in portions(dropped):
            self._session.execute(sa.delete(AlertGroupRow).where(AlertGroupRow.id.in_(portion)))
        for group in plan.opened:
            self._session.add(self._open(group))
        for message in plan.messages:
            self._queue(message)
        self._session.flush()

    def _open(self, group: NotificationGroup) -> AlertGroupRow:
        return AlertGroupRow(
            incident=uuid.uuid4().hex,
            channel=group.channel,
            key=group.key,
            opened_ms=self._now_ms,
            wanted_ms=group.wanted_ms,
            messages=0,
        )

    def _close(self, groups: Iterable[NotificationGroup]) -> None:
        ids = [group.id for group in groups if group.id is not None]
        for portion in portions(ids):
            self._session.execute(
                sa.update(AlertGroupRow)
                .where(AlertGroupRow.id.in_(portion))
                .values(closed_ms=self._now_ms, wanted_ms=None)
                .execution_options(synchronize_session=False)
            )

    def _forget(self, log: Iterable[NotificationLogEntry]) -> None:
        for one in log:
            self._session.execute(
                sa.update(NotificationLogRow)
                .where(
                    NotificationLogRow.alert_id == one.alert_id,
                    NotificationLogRow.channel == one.channel,
                )
                .values(over=True)
                .execution_options(synchronize_session=False)
            )

    def _adopt(self, entry: NotificationLogEntry) -> None:
        """Enter an alert in the notification log that a channel knows of without a message."""
        self._session.merge(
            NotificationLogRow(
                alert_id=entry.alert_id,
                channel=entry.channel,
                group_id=entry.group_id,
                severity=entry.severity,
                over=False,
                notified_ms=entry.notified_ms,
            )
        )
        self._session.flush()

    def _queue(self, message: PlannedMessage) -> None:
        """Queue a message and enter its alerts in the notification log."""
        counts = count(self._session, message)
        row = self._row(message.group)
        if not row.messages and message.news:
            self._go_on(row, message.news)
        row.messages += 1
        row.notified_ms, row.wanted_ms = self._now_ms, None
        if message.closes:
            row.closed_ms = self._now_ms
        self._session.flush()
        self._note(message, row.id)
        flap_history.note(self._session, message, self._now_ms)
        notified = [*message.news, *message.ends]
        group = grouping.values(self._config, row.key, notified[0])
        notification = dataclasses.replace(
            self._views.notification(message, counts, group),
            incident=row.incident,
            number=row.messages,
            act_url=self._links.url(row.incident, row.channel)
            if message.kind not in ("resolved", "was")
            else "",
        )
        ids = [alert.id for alert in (*notified, *message.superseded)]
        outbox.add(self._session, notification, alert_ids=ids, group_id=row.id)

    def _row(self, group: NotificationGroup) -> AlertGroupRow:
        if group.id is not None:
            return self._session.get_one(AlertGroupRow, group.id, populate_existing=True)
        row = self._open(group)
        self._session.add(row)
        return row

    def _go_on(self, row: AlertGroupRow, news: Iterable[PlannedAlert]) -> None:
        """Let a group that begins take over the incident that one of its alerts goes on with.

        If that is over: the groups exchange their incidents, of which there is one each.
        """
        continued = AlertRow.evidence["continues"].as_integer()
        ids = sa.select(continued).where(
            AlertRow.id.in_([alert.id for alert in news][:PORTION]), continued.is_not(None)
        )
        before = self._session.scalar(
            sa.select(AlertGroupRow)
            .join(NotificationLogRow, NotificationLogRow.group_id == AlertGroupRow.id)
            .where(
                NotificationLogRow.alert_id.in_(ids),
                NotificationLogRow.channel == row.channel,
                AlertGroupRow.closed_ms.is_not(None),
            )
            .order_by(AlertGroupRow.id)
            .limit(1)
            .execution_options(populate_existing=True)
        )
        if before is None:
            return
        incident, before.incident = before.incident, uuid.uuid4().hex
        self._session.flush()
        row.incident, row.messages = incident, before.messages

    def _note(self, message: PlannedMessage, group_id: int) -> None:
        """Keep what the channel knows now."""
        channel = message.group.channel
        known = self._known(message.news, channel)
        for alert in message.news:
            values = {"severity": alert.severity, "notified_ms": self._now_ms}
            if alert.id in known:
                self._update([alert], channel, group_id=group_id, over=False, **values)
            else:
                row = NotificationLogRow(
                    alert_id=alert.id, channel=channel, group_id=group_id, over=False, **values
                )
                self._session.add(row)
        self._session.flush()
        self._update(
            [*message.ends, *message.superseded], channel, over=True, notified_ms=self._now_ms
        )

    def _known(self, alerts: Iterable[PlannedAlert], channel: str) -> set[int]:
        known: set[int] = set()
        for portion in portions([alert.id for alert in alerts]):
            known.update(
                self._session.scalars(
                    sa.select(NotificationLogRow.alert_id).where(
                        NotificationLogRow.channel == channel,
                        NotificationLogRow.alert_id.in_(portion),
                    )
                )
            )
        return known

    def _update(self, alerts: Iterable[PlannedAlert], channel: str, **values: object) -> None:
        for portion in portions([alert.id for alert in alerts]):
            self._session.execute(
                sa.update(NotificationLogRow)
                .where(
                    NotificationLogRow.channel == channel, NotificationLogRow.alert_id.in_(portion)
                )
                .values(**values)
                .execution_options(synchronize_session=False)
            )
