"""Carries out plans: reads the rows, has the planner decide, writes outbox, tellings and groups."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostpulse_server.alerts.dispatch import books, muting, outbox, words
from hostpulse_server.alerts.dispatch.plan import Place, Settings, Standing, World, plan
from hostpulse_server.alerts.dispatch.routes import channels_for
from hostpulse_server.channels.base import Notification

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.orm import Session

    from hostpulse_server.alerts.dispatch.books import Books
    from hostpulse_server.alerts.dispatch.plan import Message
    from hostpulse_server.alerts.links import Links
    from hostpulse_server.clock import Clock
    from hostpulse_server.config import ServerConfig
    from hostpulse_server.registry import Server
    from hostpulse_server.state.alert_models import AlertGroupRow, AlertRow


@dataclass(frozen=True, slots=True)
class Turn:
    """``next_ms``: when to have the next turn at the latest, ``None`` if only a change matters."""

    next_ms: int | None
    has_queued: bool


class Dispatcher:
    """Decides, within the engine's transaction, who is told of what has changed."""

    def __init__(
        self,
        config: ServerConfig,
        clock: Clock,
        links: Links,
        servers: Callable[[str], Server | None],
    ) -> None:
        self._config = config
        self._clock = clock
        self._servers = servers
        self._words = words.Words(config, links, servers)
        alerts = config.alerts
        self._settings = Settings(
            wait_ms=int(alerts.group_wait * 1000),
            interval_ms=int(alerts.group_interval * 1000),
            repeat_ms=int(alerts.repeat_interval * 1000),
            rate=alerts.messages_per_minute,
        )

    def turn(self, session: Session, now_ms: int) -> Turn:
        """Queue the messages that are due."""
        found = books.read(session, now_ms, self._settings.interval_ms)
        if not found.alerts and not found.groups:
            return Turn(None, has_queued=False)
        world = World(
            alerts=self._standings(session, found, now_ms),
            tellings=found.tellings,
            groups={place: group.standing for place, group in found.groups.items()},
            returns=found.returns,
            sent=outbox.sent_since(session, now_ms - 60_000),
        )
        decided = plan(now_ms, world, self._settings)
        for place, since_ms in decided.wanted.items():
            self._group(session, found, place, now_ms).wanted_ms = since_ms
        for place in (*decided.idle, *decided.closed):
            row = found.groups[place].row
            row.wanted_ms = None
            if place in decided.closed or row.told_ms is None:
                row.closed_ms = now_ms
        for message in decided.messages:
            self._queue(session, found, message, now_ms)
        return Turn(decided.next_ms, has_queued=bool(decided.messages))

    def notice(self, session: Session, text: str, now_ms: int, but: str = "") -> None:
        """Queue words about hostpulse itself for every channel except ``but``."""
        for channel in self._config.channels:
            if channel != but:
                outbox.add(session, self._notice(channel, text, now_ms), now_ms)

    def _notice(self, channel: str, text: str, now_ms: int) -> Notification:
        site = self._config.site
        return Notification(
            kind="notice",
            channel=channel,
            site=site.name,
            severity="warning",
            created_ms=now_ms,
            note=text,
            timezone=site.timezone,
        )

    def _standings(self, session: Session, found: Books, now_ms: int) -> list[Standing]:
        muted = muting.muted(session, found.alerts.values(), now_ms)
        return [
            Standing(
                id=row.id,
                fingerprint=row.fingerprint,
                severity=row.severity,
                key=self._key(row),
                channels=channels_for(
                    self._config, row.severity, row.rule, row.server_id, row.labels
                ),
                is_firing=row.state == "firing",
                is_muted=row.id in muted,
                acknowledged_until_ms=row.acknowledged_until_ms or 0,
            )
            for row in found.alerts.values()
        ]

    def _key(self, row: AlertRow) -> str:
        return books.group_key(self._config.alerts.group_by, row)

    def _group(self, session: Session, found: Books, place: Place, now_ms: int) -> AlertGroupRow:
        if place not in found.groups:
            found.open(session, place, secrets.token_hex(8), now_ms)
        return found.groups[place].row

    def _queue(self, session: Session, found: Books, message: Message, now_ms: int) -> None:
        group = self._group(session, found, message.place, now_ms)
        group.messages += 1
        group.wanted_ms = None
        group.told_ms = now_ms
        if message.is_last:
            group.closed_ms = now_ms
        said = _said(message)
        rows = [found.alerts[number] for number in said]
        notification = self._words.notification(
            message, group, rows, list(found.alerts.values()), now_ms
        )
        outbox.add(session, notification, now_ms, group_id=group.id, alert_ids=list(said))
        found.tell(session, message, group.id, now_ms)


def _said(message: Message) -> Sequence[int]:
    return message.still if message.kind == "repeat" else (*message.news, *message.ended)
