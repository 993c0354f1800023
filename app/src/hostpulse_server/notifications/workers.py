"""The threads that drain the outbox: one a channel, so that a slow one holds up no other.

A message is sent, then marked. A crash in between sends that one again, under the same message id;
a state database that takes nothing in does not: what became of a message is kept until it does.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Final

from hostpulse_server.backoff import channel_wait_seconds
from hostpulse_server.errors import StateUnavailableError
from hostpulse_server.notifications import backlog, fallback, giving_up, outbox
from hostpulse_server.notifications.channels.base import (
    ChannelError,
    Notification,
    PartlyRefusedError,
)
from hostpulse_server.state import reading, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Engine as Database
    from sqlalchemy.orm import Session

    from hostpulse_server.config import ServerConfig
    from hostpulse_server.notifications.channels.base import Channel
    from hostpulse_server.runtime.clock import Clock
    from hostpulse_server.state.alert_models import OutboxRow

IDLE_SECONDS: Final = 1.0
# a message that waits for so long is reported on another channel
OVERDUE_MS: Final = 600_000
# a fault of our own is tried so often
MOST_FAULTS: Final = 10

log = logging.getLogger(__name__)


class ChannelWorkers:
    """Sends what waits."""

    def __init__(
        self,
        config: ServerConfig,
        database: Database,
        channels: Mapping[str, Channel],
        clock: Clock,
    ) -> None:
        self._config = config
        self._database = database
        self._clock = clock
        self._channels = channels
        self._drains = [
            ChannelWorker(name, channel, list(channels), config, database, clock, self.wake)
            for name, channel in channels.items()
        ]

    def start(self) -> None:
        """Start the threads."""
        self._resume()
        for drain in self._drains:
            drain.start()

    def wake(self) -> None:
        """Wake the workers for new messages."""
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

    def _resume(self) -> None:
        """Hand on what waits for a channel that was taken out of the configuration.

        What no other channel was there for is looked at anew: the configuration may be another.
        """
        names = list(self._channels)
        if not names:
            return
        with writing(self._database) as session:
            outbox.forget_handed(session)
            for name in names:
                backlog.doubt(session, name)
            for row in outbox.orphaned(session, names):
                reason = f"channel {row.channel} is no longer configured"
                giving_up.give_up(session, self._config, row, names, reason, self._clock.now_ms())


class ChannelWorker:
    """One channel's thread; ``work`` sends at most one message."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a thread works with
        self,
        name: str,
        channel: Channel,
        names: list[str],
        config: ServerConfig,
        database: Database,
        clock: Clock,
        wake_all: Callable[[], None],
    ) -> None:
        self._name = name
        self._channel = channel
        self._names = names
        self._config = config
        self._database = database
        self._clock = clock
        self._wake_all = wake_all
        self._event = threading.Event()
        self._is_stopping = False
        self._paused_until = float("-inf")  # on the monotonic clock
        self._is_refused: bool | None = None  # not known before the first try
        self._unwritten: Callable[[], None] | None = None
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
                log.error("messages to %s wait: %s", self._name, error)  # noqa: TRY400 - complete
                seconds = IDLE_SECONDS
            except Exception:
                log.exception("unexpected error while sending to %s", self._name)
                seconds = IDLE_SECONDS
            if seconds > 0 and not self._is_stopping:
                self._event.wait(min(seconds, IDLE_SECONDS))

    def work(self) -> float:
        """Send the message whose turn it is; return how many seconds to wait then."""
        self._write()
        now_ms = self._clock.now_ms()
        with reading(self._database) as session:
            row = outbox.first(session, self._name)
            if row is None:
                return IDLE_SECONDS
            free_ms = self._free_ms(session, now_ms)
            urgent = outbox.urgent(session, self._name, now_ms)
            row, free_ms = (urgent, 0) if urgent is not None else (row, free_ms)
            due_ms = max(row.next_ms, free_ms)
            overdue, late = None, []
            was_refused = row.attempts > 0 if self._is_refused is None else self._is_refused
            if was_refused:  # as long as it takes others, there is a next try to wait for
                overdue = outbox.overdue(session, self._name, now_ms - OVERDUE_MS)
                late = fallback.late(session, self._config, self._name, now_ms)
            session.expunge_all()
        if late:
            self._hand_over(late, now_ms)
        if overdue is not None:
            self._report(overdue, now_ms)
        wait = max((due_ms - now_ms) / 1000, self._paused_until - self._clock.monotonic())
        if wait > 0:
            return wait
        current = self._merged(row, now_ms)
        if current is not None:
            self._send(current)
        self._write()
        return 0.0

    def _merged(self, row: OutboxRow, now_ms: int) -> OutboxRow | None:
        """Return what to send instead of a message once the channel has been away for long."""
        with reading(self._database) as session:
            if not backlog.is_stale(session, self._name, now_ms):
                return row
        with writing(self._database) as session:
            backlog.merge(session, self._config, self._name, now_ms)
            session.flush()
            current = outbox.first(session, self._name)
            session.expunge_all()
        return current

    def _write(self) -> None:
        """Write down what became of a message, before any other is sent."""
        if self._unwritten is not None:
            self._unwritten()
            self._unwritten = None

    def _report(self, row: OutboxRow, now_ms: int) -> None:
        with writing(self._database) as session:
            if outbox.finish(session, row.id, reported_ms=now_ms):
                giving_up.report(session, self._config, row, self._names, now_ms)
        self._wake_all()

    def _hand_over(self, rows: list[OutboxRow], now_ms: int) -> None:
        with writing(self._database) as session:
            for row in rows:
                fallback.hand_over(session, self._config, row, now_ms)
        self._wake_all()

    def _free_ms(self, session: Session, now_ms: int) -> int:
        """Return when the channel may have another message."""
        rate = self._config.alerts.messages_per_minute
        lately = outbox.sent_lately(session, self._name, now_ms)
        return lately[-rate] + outbox.MINUTE_MS if len(lately) >= rate else 0

    def _send(self, row: OutboxRow) -> None:
        try:
            notification = Notification.from_document(row.document)
            incident = notification.incident or notification.kind
            self._channel.send(notification, message_id=f"{incident}.{row.id}")
        except PartlyRefusedError as error:
            self._unwritten = partial(self._sent, row, self._clock.now_ms(), error)
        except ChannelError as error:
            self._failed(row, error)
        except Exception as error:
            # ours to mend, but it must not hold up the messages after it
            log.exception("message %d to %s was not sent", row.id, self._name)
            text = f"unforeseen {type(error).__name__}; the log of the alert engine has more"
            self._failed(row, ChannelError(text, permanent=row.attempts + 1 >= MOST_FAULTS))
        else:
            self._unwritten = partial(self._sent, row, self._clock.now_ms())

    def _sent(self, row: OutboxRow, now_ms: int, partly: PartlyRefusedError | None = None) -> None:
        with writing(self._database) as session:
            refused = partly.refused.items() if partly is not None else ()
            error = "; ".join(f"refused for {one}: {said}" for one, said in refused)
            done = {"state": "sent", "done_ms": now_ms, "next_ms": now_ms, "error": error}
            if outbox.finish(session, row.id, **done):
                notified = {"channel": self._name, "kind": row.kind, "message": row.id}
                outbox.note(session, row.alert_ids, "told", now_ms, notified)
                fallback.withdraw(session, row, now_ms)
                outbox.drop_overtaken(session, row)
                if partly is not None:
                    outbox.keep_for_some(session, row, partly, now_ms)
            if row.attempts:  # it is back: the others need not wait for their next try
                outbox.hasten(session, self._name, now_ms)
        self._is_refused = False

    def _failed(self, row: OutboxRow, error: ChannelError) -> None:
        self._is_refused = True
        now_ms, attempts = self._clock.now_ms(), row.attempts + 1
        log.warning("channel %s, message %d, try %d: %s", self._name, row.id, attempts, error)
        if error.permanent:
            self._unwritten = partial(self._given_up, row, str(error), now_ms)
            return
        asked = error.retry_after or 0.0
        self._paused_until = self._clock.monotonic() + asked
        next_ms = now_ms + int((asked + channel_wait_seconds(row.attempts)) * 1000)
        self._unwritten = partial(self._postponed, row, error, next_ms)

    def _given_up(self, row: OutboxRow, reason: str, now_ms: int) -> None:
        with writing(self._database) as session:
            giving_up.give_up(session, self._config, row, self._names, reason, now_ms)
        self._wake_all()

    def _postponed(self, row: OutboxRow, error: ChannelError, next_ms: int) -> None:
        values = {"attempts": row.attempts + 1, "next_ms": next_ms, "error": str(error)}
        if error.maybe_taken:
            values["document"] = {**row.document, backlog.MAYBE_TAKEN: True}
        with writing(self._database) as session:
            outbox.finish(session, row.id, **values)
