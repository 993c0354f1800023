"""A dispatcher over a real state database, alerts as the engine writes them, channels by hand."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from tests.support.clock import ManualClock

from hostpulse_server import state
from hostpulse_server.config import load
from hostpulse_server.notifications import Dispatcher
from hostpulse_server.notifications.action_links import ActionLinks
from hostpulse_server.notifications.channels.base import Notification
from hostpulse_server.notifications.planner.plan import BUSY_MS
from hostpulse_server.state.alert_models import AlertEventRow, AlertRow, OutboxRow, SilenceRow
from hostpulse_server.values.alert import AlertIdentity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sqlalchemy.orm import Session

    from hostpulse_server.notifications import DispatchTurn

LOOK_MS: Final = 5_000
_CONFIG: Final = """\
data_dir = "{folder}"
[site]
public_url = "https://monitor.example.org:8443"
grafana_url = "https://graphs.example.org"
[alerts]
rules = []
{alerts}
{channels}
{more}
"""
_PAGER: Final = """\
[channels.pager]
kind = "webhook"
url_file = "pager_url"
"""
MAIL: Final = """\
[channels.mail]
kind = "email"
host = "127.0.0.1"
from = "hostpulse@example.org"
to = ["ops@example.org"]
"""


@dataclass(frozen=True)
class ReceivedMessage:
    """A message that a channel took, and when, in seconds since the beginning."""

    at: float
    channel: str
    message: Notification

    @property
    def kind(self) -> str:
        """What kind of message it is."""
        return self.message.kind

    @property
    def names(self) -> list[str]:
        """The servers of its alerts."""
        return [alert.server_id for alert in self.message.alerts]


@dataclass
class PlanningHarness:
    """What a test does with it; ``is_down`` lets messages wait in the outbox."""

    folder: Path
    alerts: str = 'group_wait = "10s"'
    more: str = ""
    channels: str = _PAGER
    clock: ManualClock = field(default_factory=ManualClock)
    received: list[ReceivedMessage] = field(default_factory=list)
    is_down: bool = False
    _session: Session | None = None

    def __post_init__(self) -> None:
        """Make the database."""
        self.folder.mkdir(exist_ok=True, parents=True)
        path = self.folder / "server.toml"
        path.write_text(
            _CONFIG.format(
                folder=self.folder, alerts=self.alerts, channels=self.channels, more=self.more
            )
        )
        self.config = load(path, {})
        self.database = state.open_engine(self.config.state.url)
        sa.event.listen(self.database, "connect", _hurry)
        state.upgrade(self.database)
        self.began_ms = self.clock.ms
        self.restart()

    def close(self) -> None:
        """Close the database."""
        self.database.dispose()

    def restart(self) -> None:
        """Begin with a dispatcher that knows nothing."""
        links = ActionLinks(self.config, self.clock)
        self.dispatcher = Dispatcher(self.config, self.clock, links, lambda _server: None)

    def fire(  # noqa: PLR0913 - what an alert is made of
        self,
        server_id: str,
        rule: str = "cpu_usage",
        severity: str = "warning",
        *,
        labels: Mapping[str, str] | None = None,
        measurement: str = "",
        tags: Mapping[str, str] | None = None,
        verdict: str = "",
    ) -> int:
        """Write an alert that fires; return its id."""
        tags = dict(tags or {})
        row = AlertRow(
            fingerprint=AlertIdentity(rule, server_id, tuple(sorted(tags.items()))).fingerprint,
            rule=rule,
            server_id=server_id,
            tags=tags,
            measurement=measurement,
            field="value" if measurement else "",
            state="firing",
            severity=severity,
            value=None,
            threshold=None,
            summary=f"{rule} on {server_id}",
            runbook="docs/runbooks.md#memory_usage" if rule == "memory_usage" else "",
            labels=dict(labels or {}),
            evidence={"facts": {"verdict": verdict}} if verdict else {},
            started_ms=self.clock.ms,
            fired_ms=self.clock.ms,
            reason="",
            comment="",
        )
        with self.together() as session:
            session.add(row)
            session.flush()
            number = row.id
            self._event(number, "firing")
        return number

    def rise(self, number: int, severity: str = "critical") -> None:
        """Give an alert another severity."""
        self._change(number, "severity", severity=severity)

    def end(self, number: int, reason: str = "cleared") -> None:
        """Resolve an alert."""
        self._change(number, "resolved", state="resolved", resolved_ms=self.clock.ms, reason=reason)

    def late(
        self, *server_ids: str, rule: str = "oom_kill", is_owed: bool = True, **more: Any
    ) -> list[int]:
        """Write alerts of which nothing was known while they fired."""
        with self.together() as session:
            numbers = [self.fire(server_id, rule, **more) for server_id in server_ids]
            for number in numbers:
                self.end(number)
            session.flush()
            session.execute(
                sa.update(AlertEventRow)
                .where(AlertEventRow.alert_id.in_(numbers))
                .values(document={"late": True})
            )
            rows = [session.get_one(AlertRow, number, populate_existing=True) for number in numbers]
            self.dispatcher.owe(session, rows if is_owed else [], self.clock.ms)
        return numbers

    def revise(self, number: int) -> None:
        """Say that an alert that is over never was."""
        self._change(number, "resolved", reason="revised")

    def acknowledge(self, number: int, seconds: float) -> None:
        """Acknowledge an alert for so long."""
        until = self.clock.ms + int(seconds * 1000)
        self._change(number, "acknowledged", acknowledged_until_ms=until, acknowledged_by="me")

    def silence(self, seconds: float, **matchers: str) -> None:
        """Keep alerts quiet from now on for so long."""
        with state.writing(self.database) as session:
            session.add(
                SilenceRow(
                    matchers=matchers,
                    start_ms=self.clock.ms,
                    end_ms=self.clock.ms + int(seconds * 1000),
                    comment="",
                    created_by="me",
                    created_ms=self.clock.ms,
                )
            )

    @contextmanager
    def together(self) -> Iterator[Session]:
        """Write what is done within as one transaction, as the engine does of one sample."""
        if self._session is not None:
            yield self._session
            return
        try:
            with state.writing(self.database) as self._session:
                yield self._session
        finally:
            self._session = None

    def _change(self, number: int, kind: str, **values: Any) -> None:
        with self.together() as session:
            session.execute(sa.update(AlertRow).where(AlertRow.id == number).values(**values))
            self._event(number, kind)

    def _event(self, number: int, kind: str) -> None:
        with self.together() as session:
            session.add(AlertEventRow(alert_id=number, at_ms=self.clock.ms, kind=kind, document={}))

    def turn(self) -> DispatchTurn:
        """Have the dispatcher look, and the channels take what waits."""
        with state.writing(self.database) as session:
            done = self.dispatcher.turn(session, self.clock.ms)
        if not self.is_down:
            self._deliver()
        return done

    def _deliver(self) -> None:
        now_ms = self.clock.ms
        with state.writing(self.database) as session:
            waiting = sa.select(OutboxRow).where(OutboxRow.state == "waiting")
            for row in session.scalars(waiting.order_by(OutboxRow.id)):
                row.state, row.done_ms, row.next_ms = "sent", now_ms, now_ms
                message = Notification.from_document(row.document)
                self.received.append(
                    ReceivedMessage((now_ms - self.began_ms) / 1000, row.channel, message)
                )

    def run(self, seconds: float) -> list[ReceivedMessage]:
        """Let time pass as the engine does; return what was received meanwhile.

        It looks at rows as often as the engine for the first minutes, then more and more seldom,
        and always right before something is due: nothing may be said by then.
        """
        before, start_ms = len(self.received), self.clock.ms
        end_ms = start_ms + int(seconds * 1000)
        next_ms = self._turn_until_idle()
        while self.clock.ms < end_ms:
            now_ms = self.clock.ms
            times = [end_ms, now_ms + max(LOOK_MS, (now_ms - start_ms) // 20)]
            if next_ms is not None:
                times.append(self._asked_again(next_ms))
            self.clock.ms = min(times)
            next_ms = self._turn_until_idle()
        return self.received[before:]

    def _asked_again(self, next_ms: int) -> int:
        """Return when to look: right before, then when it is due.

        While a channel has had its share of messages the engine asks each second what it may say;
        asking as often as it looks at rows comes to the same.
        """
        now_ms = self.clock.ms
        if next_ms - now_ms != BUSY_MS or not self._is_full():
            return next_ms if next_ms - now_ms <= BUSY_MS else next_ms - 1
        return now_ms + LOOK_MS

    def _is_full(self) -> bool:
        since = (self.clock.ms - self.began_ms) / 1000 - 60
        lately = Counter(one.channel for one in self.received if one.at > since)
        return max(lately.values(), default=0) >= self.config.alerts.messages_per_minute

    def _turn_until_idle(self) -> int | None:
        """Take turns until there is nothing to write now."""
        done = self.turn()
        while done.next_ms is not None and done.next_ms <= self.clock.ms:
            done = self.turn()
        return done.next_ms


def _hurry(connection: Any, _record: object) -> None:
    # what is tested is what is told; that a commit is on the disk is held elsewhere
    connection.execute("PRAGMA synchronous = OFF")
