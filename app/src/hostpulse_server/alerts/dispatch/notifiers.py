"""The threads that drain the outbox: one a channel, so that a slow one holds up no other.

A message is sent, then marked. A crash in between sends that one again, under the same message id.
"""

from __future__ import annotations

import dataclasses
import logging
import random
import threading
from typing import TYPE_CHECKING, Final

from hostpulse_server.alerts.dispatch import outbox
from hostpulse_server.channels.base import ChannelError, Notification
from hostpulse_server.errors import StateUnavailableError
from hostpulse_server.state import reading, writing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine as Database
    from sqlalchemy.orm import Session

    from hostpulse_server.channels.base import Channel
    from hostpulse_server.clock import Clock
    from hostpulse_server.config import ServerConfig
    from hostpulse_server.state.alert_models import OutboxRow

FIRST_SECONDS: Final = 1.0
MOST_SECONDS: Final = 300.0
IDLE_SECONDS: Final = 1.0
# passing errors for so long are worth a word on another channel
WORRY_MS: Final = 600_000

log = logging.getLogger(__name__)


class Notifiers:
    """Sends what waits."""

    def __init__(
        self,
        config: ServerConfig,
        database: Database,
        channels: Mapping[str, Channel],
        clock: Clock,
    ) -> None:
        self._database = database
        self._clock = clock
        self._channels = channels
        self._drains = [
            Drain(name, channel, list(channels), config, database, clock, self.wake)
            for name, channel in channels.items()
        ]

    def start(self) -> None:
        """Start the threads."""
        self._redirect_strays()
        for drain in self._drains:
            drain.start()

    def wake(self) -> None:
        """Say that there are new messages."""
        for drain in self._drains:
            drain.wake()

    @property
    def is_alive(self) -> bool:
        """Whether every thread runs."""
        return all(drain.is_alive for drain in self._drains)

    def stop(self) -> None:
        """Let a send under way end, then return."""
        for drain in self._drains:
            drain.stop()
        for drain in self._drains:
            drain.join()

    def _redirect_strays(self) -> None:
        """Hand on what waits for a channel that was taken out of the configuration."""
        names = list(self._channels)
        if not names:
            return
        with writing(self._database) as session:
            for row in outbox.strays(session, names):
                reason = f"channel {row.channel} is no longer configured"
                hand_on(session, row, names[0], reason, self._clock.now_ms())


class Drain:
    """One channel's thread; ``work`` sends at most one message."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a thread works with
        self,
        name: str,
        channel: Channel,
        names: list[str],
        config: ServerConfig,
        database: Database,
        clock: Clock,
        wake_all: object,
    ) -> None:
        self._name = name
        self._channel = channel
        self._names = names
        self._site = config.site.name
        self._timezone = config.site.timezone
        self._database = database
        self._clock = clock
        self._wake_all = wake_all
        self._event = threading.Event()
        self._is_stopping = False
        self._paused_until_ms = 0
        self._failing_since_ms: int | None = None
        self._has_worried = False
        self._thread = threading.Thread(target=self._run, name=f"notify-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Look at the outbox at once."""
        self._event.set()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End after what is under way."""
        self._is_stopping = True
        self._event.set()

    def join(self) -> None:
        """Return when the thread has ended."""
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._is_stopping:
            self._event.clear()
            try:
                seconds = self.work()
            except StateUnavailableError as error:
                log.error("messages to %s wait: %s", self._name, error)  # noqa: TRY400 - said whole
                seconds = IDLE_SECONDS
            except Exception:
                log.exception("sending to %s failed in an unforeseen way", self._name)
                seconds = IDLE_SECONDS
            if seconds > 0 and not self._is_stopping:
                self._event.wait(min(seconds, IDLE_SECONDS))

    def work(self) -> float:
        """Send the message whose turn it is; return how many seconds to wait then."""
        now_ms = self._clock.now_ms()
        if now_ms < self._paused_until_ms:
            return (self._paused_until_ms - now_ms) / 1000
        with reading(self._database) as session:
            row = outbox.first(session, self._name)
            if row is None:
                return IDLE_SECONDS
            session.expunge(row)
        if row.next_ms > now_ms:
            return (row.next_ms - now_ms) / 1000
        notification = Notification.from_document(row.document)
        incident = notification.incident or notification.kind
        try:
            self._channel.send(notification, message_id=f"{incident}.{row.id}")
        except ChannelError as error:
            self._failed(row, error)
        else:
            self._sent(row)
        return 0.0

    def _sent(self, row: OutboxRow) -> None:
        now_ms = self._clock.now_ms()
        self._failing_since_ms, self._has_worried = None, False
        with writing(self._database) as session:
            if outbox.settle(session, row.id, state="sent", done_ms=now_ms):
                told = {"channel": self._name, "kind": row.kind, "message": row.id}
                outbox.note(session, row.alert_ids, "told", now_ms, told)

    def _failed(self, row: OutboxRow, error: ChannelError) -> None:
        now_ms = self._clock.now_ms()
        attempts = row.attempts + 1
        log.warning("channel %s, message %d, try %d: %s", self._name, row.id, attempts, error)
        with writing(self._database) as session:
            if error.permanent:
                self._give_up(session, row, str(error), now_ms)
            else:
                self._postpone(session, row, error, now_ms)

    def _give_up(self, session: Session, row: OutboxRow, reason: str, now_ms: int) -> None:
        if not outbox.settle(
            session,
            row.id,
            state="failed",
            done_ms=now_ms,
            attempts=row.attempts + 1,
            error=reason,
        ):
            return
        failed = {"channel": self._name, "kind": row.kind, "message": row.id, "error": reason}
        outbox.note(session, row.alert_ids, "failed", now_ms, failed)
        fallback = self._fallback(row)
        if fallback:
            add_handed_on(
                session, row, fallback, f"{self._name} did not take this: {reason}", now_ms
            )

    def _postpone(self, session: Session, row: OutboxRow, error: ChannelError, now_ms: int) -> None:
        bound = min(MOST_SECONDS, FIRST_SECONDS * 2 ** min(row.attempts, 16))
        seconds = random.uniform(0, bound)  # noqa: S311 - spreads load only
        if error.retry_after is not None:
            seconds += error.retry_after
            self._paused_until_ms = now_ms + int(error.retry_after * 1000)
        outbox.settle(
            session,
            row.id,
            attempts=row.attempts + 1,
            next_ms=now_ms + int(seconds * 1000),
            **({} if outbox.refused_by(row) else {"error": str(error)}),
        )
        self._failing_since_ms = self._failing_since_ms or now_ms
        fallback = self._fallback(row)
        if now_ms - self._failing_since_ms >= WORRY_MS and fallback and not self._has_worried:
            self._has_worried = True
            text = (
                f"Channel {self._name} has taken no message for "
                f"{(now_ms - self._failing_since_ms) // 60_000} minutes; they wait and are tried "
                f"again: {error}"
            )
            outbox.add(session, self._notice(fallback, text, now_ms), now_ms)

    def _notice(self, channel: str, text: str, now_ms: int) -> Notification:
        return Notification(
            kind="notice",
            channel=channel,
            site=self._site,
            severity="warning",
            created_ms=now_ms,
            note=text,
            timezone=self._timezone,
        )

    def _fallback(self, row: OutboxRow) -> str:
        """Return the first other channel that has not refused this message, ``""`` if none."""
        out = {self._name, *outbox.refused_by(row)}
        return next((name for name in self._names if name not in out), "")


def hand_on(session: Session, row: OutboxRow, channel: str, reason: str, now_ms: int) -> None:
    """Give a message up where it waits and queue it for another channel."""
    if outbox.settle(session, row.id, state="failed", done_ms=now_ms, error=reason):
        add_handed_on(session, row, channel, reason, now_ms)


def add_handed_on(session: Session, row: OutboxRow, channel: str, reason: str, now_ms: int) -> None:
    """Queue a message for another channel, with the reason at its top."""
    before = Notification.from_document(row.document)
    note = f"{reason}. {before.note}" if before.note else reason
    refused = [*outbox.refused_by(row), row.channel]
    outbox.add(
        session,
        dataclasses.replace(before, channel=channel, note=note),
        now_ms,
        group_id=row.group_id,
        alert_ids=row.alert_ids,
        via=", ".join(refused),
    )
