"""Planned messages go out by real channels, Slack, mail and a webhook, to real receivers."""

from __future__ import annotations

import math
import sqlite3
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import sqlalchemy as sa
from app.tests.notifications.planning import PlanningHarness
from sqlalchemy import event
from tests.support.clock import ManualClock
from tests.support.mail_server import MailServer
from tests.support.slack_receiver import Answer, SlackReceiver

from hostpulse_server import state
from hostpulse_server.notifications import ChannelWorkers, fallback
from hostpulse_server.notifications.channels.factory import open_channels
from hostpulse_server.notifications.workers import OVERDUE_MS
from hostpulse_server.state.alert_models import AlertEventRow, OutboxRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hostpulse_server.notifications.workers import ChannelWorker

NAMES: Final = ("chat", "mail", "pager")
_KINDS: Final = {
    "chat": 'kind = "slack"\nwebhook_url_file = "chat_url"\nallow_private = true',
    "mail": 'kind = "email"\nhost = "127.0.0.1"\nport = {port}\nsecurity = "none"\n'
    'from = "hostpulse@example.org"\nto = [{to}]',
    "pager": 'kind = "webhook"\nurl_file = "pager_url"\nallow_private = true',
}


class _Pager(SlackReceiver):
    """Takes any JSON."""

    def take(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Note a post."""
        if not self.answers:
            self.answers.append(Answer())
        return super().take(path, headers, body)


@dataclass
class DeliveryHarness:
    """``work`` sends by hand at the planner's time; ``notifiers`` runs the real threads."""

    folder: Path
    names: Sequence[str] = NAMES
    alerts: str = 'group_wait = "0s"\ngroup_by = ["server_id"]'
    routes: str = ""
    to: str = '"ops@example.org"'
    clock: ManualClock = field(default_factory=ManualClock)
    stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        """Open the receivers and the database."""
        self.chat = self.stack.enter_context(SlackReceiver())
        self.pager = self.stack.enter_context(_Pager())
        self.mail = self.stack.enter_context(MailServer())
        for name, receiver in (("chat_url", self.chat), ("pager_url", self.pager)):
            self.folder.mkdir(exist_ok=True, parents=True)
            (self.folder / name).touch(0o600)
            (self.folder / name).write_text(receiver.url)
        self.open(*self.names)

    def open(self, *names: str) -> None:
        """Begin as a new process does, with these channels in the configuration."""
        channels = "\n".join(f"[channels.{name}]\n{_KINDS[name]}" for name in names)
        channels = channels.replace("{port}", str(self.mail.port)).replace("{to}", self.to)
        channels += self.routes
        self.planning = PlanningHarness(
            self.folder, self.alerts, channels=channels, clock=self.clock
        )
        self.planning.is_down = True
        self.stack.enter_context(closing(self.planning))
        self.notifiers = ChannelWorkers(
            self.planning.config,
            self.planning.database,
            open_channels(self.planning.config, self.planning.clock),
            self.planning.clock,
        )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close receivers and databases."""
        self.stack.close()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let nobody write into the state database, as when its disk is full."""
        self.planning.database.dispose()
        event.listen(self.planning.database, "connect", _in_haste)
        path = self.folder / "state.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield

    def drain(self, name: str) -> ChannelWorker:
        """Return what sends by a channel."""
        return next(one for one in self.notifiers._drains if one._name == name)

    def fire(self, server_id: str, **more: Any) -> int:
        """Write an alert and the messages about it."""
        number = self.planning.fire(server_id, **more)
        self.planning.turn()
        return number

    def end(self, number: int) -> None:
        """Resolve an alert and write the messages about it."""
        self.planning.end(number)
        self.planning.turn()

    def deliver(self, seconds: float = 0.0) -> None:
        """Let the channels work for so long; time goes from one try to the next."""
        clock = self.planning.clock
        end_ms = clock.ms + int(seconds * 1000)
        while True:
            waits = {one._name: one.work() for one in self.notifiers._drains}
            if min(waits.values()) == 0:
                continue
            if clock.ms >= end_ms:
                return
            waiting = self.rows(state="waiting")
            times = [clock.ms + math.ceil(waits[row.channel] * 1000) for row in waiting]
            times += [row.created_ms + OVERDUE_MS for row in waiting]
            times += [
                row.created_ms + fallback.after_ms(self.planning.config, row) for row in waiting
            ]
            clock.ms = min([end_ms, *(time_ms for time_ms in times if time_ms > clock.ms)])

    def notified(self, kind: str = "told") -> list[tuple[int, str, int]]:
        """Return what history says: alert, channel, and when in seconds since the beginning."""
        with state.reading(self.planning.database) as session:
            rows = session.scalars(
                sa.select(AlertEventRow).where(AlertEventRow.kind == kind).order_by("id")
            )
            return [
                (
                    row.alert_id,
                    row.document["channel"],
                    (row.at_ms - self.planning.began_ms) // 1000,
                )
                for row in rows
            ]

    def rows(self, **values: Any) -> list[OutboxRow]:
        """Return messages of the outbox that have these values."""
        with state.reading(self.planning.database) as session:
            found = session.scalars(sa.select(OutboxRow).filter_by(**values).order_by(OutboxRow.id))
            return list(found)


def heads(receiver: SlackReceiver) -> list[str]:
    """Return the headlines of what a receiver of Slack messages took, in order."""
    taken = [post.payload for post in receiver.posts if post.answered == 200]
    return [payload["blocks"][0]["text"]["text"] for payload in taken]


def refuse(receiver: SlackReceiver, *answers: str, times: int = 1, **headers: str) -> None:
    """Have the next posts answered like ``404 no_service``."""
    for answer in answers * times:
        status, _, body = answer.partition(" ")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        receiver.answers.append(Answer(int(status), body, named))


def _in_haste(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA busy_timeout = 0")
