"""What waited while a channel was away, merged to the present before any of it is sent.

An incident has one message, with what is so now: the newest of those that waited, so a message that
may have arrived is repeated under its own id or not at all. What the channel never heard of and is
over is a line of one notice; what is silenced now is not sent, and is new when the silence ends.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from hostpulse_server import formatting
from hostpulse_server.notifications import outbox
from hostpulse_server.notifications.away import Away
from hostpulse_server.notifications.channels.base import Notification
from hostpulse_server.notifications.composer import AlertViews, count
from hostpulse_server.notifications.giving_up import notice
from hostpulse_server.notifications.planner.muting import Muter
from hostpulse_server.notifications.planner.state import (
    NotificationGroup,
    PlannedMessage,
    Silence,
)
from hostpulse_server.notifications.repository import planned, portions
from hostpulse_server.state.alert_models import (
    AlertRow,
    NotificationLogRow,
    OutboxRow,
    SilenceRow,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.orm import Session

    from hostpulse_server.config import ServerConfig

# a channel that has refused a message for so long is away
AWAY_MS: Final = 300_000
# keys of an outbox document that are no part of the message
_SINCE: Final = "away_since"
MAYBE_TAKEN: Final = "maybe_taken"

log = logging.getLogger(__name__)


def is_stale(session: Session, channel: str, now_ms: int) -> bool:
    """Return whether a channel has refused a message for long that still waits."""
    return bool(
        session.scalar(
            sa.select(
                sa.exists().where(
                    OutboxRow.channel == channel,
                    OutboxRow.state == "waiting",
                    OutboxRow.attempts > 0,
                    OutboxRow.created_ms <= now_ms - AWAY_MS,
                )
            )
        )
    )


def doubt(session: Session, channel: str) -> None:
    """Note that the message whose turn is next may have been sent: nobody saw the end of it."""
    row = outbox.first(session, channel)
    if row is not None:
        row.document = {**row.document, MAYBE_TAKEN: True}


def merge(session: Session, config: ServerConfig, channel: str, now_ms: int) -> None:
    """Bring all that waits for a channel to the present."""
    _Backlog(session, config, channel, now_ms).merge()


class _Backlog:
    def __init__(self, session: Session, config: ServerConfig, channel: str, now_ms: int) -> None:
        self._session = session
        self._config = config
        self._channel = channel
        self._now_ms = now_ms
        silences = session.execute(
            sa.select(
                SilenceRow.matchers, SilenceRow.start_ms, SilenceRow.end_ms, SilenceRow.id
            ).where(SilenceRow.end_ms > now_ms)
        )
        self._muter = Muter((), [Silence(*row) for row in silences], now_ms)
        self._away = Away(now_ms, now_ms, now_ms, formatting.zone(config.site.timezone))
        self._over: list[AlertRow] = []

    def merge(self) -> None:
        """Rewrite what waits."""
        rows = self._session.scalars(
            sa.select(OutboxRow)
            .where(OutboxRow.channel == self._channel, OutboxRow.state == "waiting")
            .order_by(OutboxRow.id)
        ).all()
        since_ms = min(row.document.get(_SINCE, row.created_ms) for row in rows)
        until_ms = self._answered_ms(since_ms) or self._now_ms
        self._away = dataclasses.replace(self._away, since_ms=since_ms, until_ms=until_ms)
        incidents: defaultdict[int, list[OutboxRow]] = defaultdict(list)
        for row in rows:
            # what another channel refused is sent as it was written
            if row.group_id is not None and not row.refused_by:
                incidents[row.group_id].append(row)
        for group_id, waiting in incidents.items():
            try:
                with self._session.begin_nested():
                    self._merge(group_id, waiting)
            except (KeyError, TypeError, ValueError):  # it is sent, or refused, as it was written
                log.exception("messages to %s are not merged", self._channel)
        self._report([row for row in rows if row.group_id is None and _SINCE in row.document])
        reported_ms = max((row.reported_ms or 0 for row in rows), default=0)
        if reported_ms:
            self._session.execute(
                sa.update(OutboxRow)
                .where(OutboxRow.channel == self._channel, OutboxRow.state == "waiting")
                .values(reported_ms=reported_ms)
            )

    def _answered_ms(self, since_ms: int) -> int | None:
        """Return when the channel took the first of what waited, ``None`` if it has not yet."""
        return self._session.scalar(
            sa.select(sa.func.min(OutboxRow.done_ms)).where(
                OutboxRow.channel == self._channel,
                OutboxRow.state == "sent",
                OutboxRow.done_ms > since_ms,
                OutboxRow.attempts > 0,
            )
        )

    def _merge(self, group_id: int, waiting: Sequence[OutboxRow]) -> None:
        """Leave one message of an incident, or none."""
        ids = list(dict.fromkeys(number for row in waiting for number in row.alert_ids))
        alerts = self._alerts(ids)
        firing = [one for one in alerts if one.state == "firing"]
        news = [one for one in firing if not self._is_silenced(one)]
        again = {one.fingerprint for one in firing}
        ends = [one for one in alerts if one.state == "resolved" and one.fingerprint not in again]
        is_maybe = any(row.document.get(MAYBE_TAKEN) for row in waiting)
        number = waiting[0].document.get("number", 1)
        if number == 1 and not is_maybe:
            unsent = [one for one in alerts if one not in news]
            outbox.forget_notified(self._session, [one.id for one in unsent], self._channel)
            self._over += [one for one in ends if one.reason != "revised"]
            ends, still = [], []
        else:
            still = self._still(group_id)
            if not news and not still and waiting[-1].kind == "resolved":
                document = {**waiting[-1].document, "note": self._note(waiting), "number": number}
                self._keep(waiting, document, is_maybe=is_maybe)
                return
        if not news and not (ends and still):
            self._drop(waiting)
            return
        kind = "firing" if number == 1 and not is_maybe else "update"
        if {row.kind for row in waiting} == {"repeat"}:
            kind = "repeat"
        group = NotificationGroup(self._channel, "", group_id)
        message = PlannedMessage(
            group,
            kind,  # type: ignore[arg-type]  # one of three
            [planned(one) for one in news],
            [planned(one) for one in ends],
            still=[] if news else [planned(one) for one in still],
        )
        newest = Notification.from_document(waiting[-1].document)
        views = AlertViews(
            self._session, self._config, lambda _server_id: None, self._now_ms, lambda _rows: None
        )
        merged = views.notification(message, count(self._session, message), newest.group)
        names = _server_names(waiting)
        fired_ms = min(one.fired_ms or one.started_ms for one in news or still)
        document = dataclasses.replace(
            merged,
            alerts=tuple(
                dataclasses.replace(one, server_name=names.get(one.server_id, one.server_name))
                for one in merged.alerts
            ),
            incident=newest.incident,
            number=number,
            act_url=newest.act_url or waiting[0].document.get("act_url", ""),
            note=self._note(waiting, fired_ms),
        ).to_document()
        kept = [one.id for one in (*news, *ends)]
        self._keep(waiting, {**document, "kind": kind}, is_maybe=is_maybe, alert_ids=kept)

    def _note(self, waiting: Sequence[OutboxRow], fired_ms: int | None = None) -> str:
        """Return how old it is; nothing of what the channel was hardly away for."""
        if waiting[0].created_ms > self._now_ms - outbox.MINUTE_MS:
            return ""
        return self._away.of_message(fired_ms)

    def _keep(
        self,
        waiting: Sequence[OutboxRow],
        document: dict[str, Any],
        *,
        is_maybe: bool,
        alert_ids: Sequence[int] | None = None,
    ) -> None:
        """Leave the newest row with this document; it goes out when the oldest would have."""
        newest = waiting[-1]
        newest.document = {
            **document,
            **_handed(waiting),
            _SINCE: self._away.since_ms,
            MAYBE_TAKEN: is_maybe,
        }
        newest.kind = document["kind"]
        newest.next_ms = min(row.next_ms for row in waiting)
        newest.created_ms = min(row.created_ms for row in waiting)
        newest.attempts = max(row.attempts for row in waiting)
        newest.error = next((row.error for row in reversed(waiting) if row.error), "")
        newest.alert_ids = list(newest.alert_ids if alert_ids is None else alert_ids)
        for row in waiting[:-1]:
            for one in outbox.standing_for(self._session, row):
                one.document = {**one.document, outbox.STANDS_FOR: newest.id}
        self._session.flush()
        self._drop(waiting[:-1])

    def _drop(self, rows: Iterable[OutboxRow]) -> None:
        """Delete messages, and what waits in another channel in their place."""
        for row in rows:
            for one in outbox.standing_for(self._session, row):
                self._session.delete(one)
            self._session.delete(row)
        self._session.flush()

    def _report(self, notices: Sequence[OutboxRow]) -> None:
        """Say in one message what was over before it was sent."""
        known = self._alerts([number for row in notices for number in row.alert_ids])
        over = {one.id: one for one in (*known, *self._over) if not self._is_silenced(one)}
        self._drop(notices[1:])
        if not over:
            self._drop(notices[:1])
            return
        message = notice(
            self._config, self._channel, self._away.of_over(list(over.values())), self._now_ms
        )
        row = notices[0] if notices else outbox.add(self._session, message)
        row.document = {**message.to_document(), _SINCE: self._away.since_ms}
        row.alert_ids = list(over)

    def _is_silenced(self, row: AlertRow) -> bool:
        return self._muter.silence(planned(row)) is not None

    def _alerts(self, ids: Sequence[int]) -> list[AlertRow]:
        found: dict[int, AlertRow] = {}
        for portion in portions(ids):
            rows = self._session.scalars(
                sa.select(AlertRow)
                .where(AlertRow.id.in_(portion))
                .execution_options(populate_existing=True)
            )
            found.update((row.id, row) for row in rows)
        return [found[number] for number in ids if number in found]

    def _still(self, group_id: int) -> list[AlertRow]:
        """Return what of an incident fires, is not silenced, and is known to the channel."""
        rows = self._session.scalars(
            sa.select(AlertRow)
            .join(NotificationLogRow, NotificationLogRow.alert_id == AlertRow.id)
            .where(
                NotificationLogRow.group_id == group_id,
                NotificationLogRow.channel == self._channel,
                AlertRow.state == "firing",
            )
        )
        return [row for row in rows if not self._is_silenced(row)]


def _server_names(rows: Iterable[OutboxRow]) -> dict[str, str]:
    """Return the names of servers as messages that wait have them, by id."""
    return {
        alert["server_id"]: alert["server_name"]
        for row in rows
        for alert in row.document.get("alerts", ())
    }


def _handed(rows: Sequence[OutboxRow]) -> dict[str, Any]:
    """Return when another channel was to go for all of these messages, if one was."""
    handed: list[int] = [
        row.document[outbox.HANDED_MS] for row in rows if outbox.HANDED_MS in row.document
    ]
    return {outbox.HANDED_MS: max(handed)} if len(handed) == len(rows) else {}
