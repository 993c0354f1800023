"""A dispatcher over a real state database, alerts as the engine writes them, channels by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from app.tests.clock import ManualClock

from hostpulse_server import state
from hostpulse_server.alerts.dispatch import Dispatcher
from hostpulse_server.alerts.links import Links
from hostpulse_server.alerts.model import Identity
from hostpulse_server.channels.base import Notification
from hostpulse_server.config import load
from hostpulse_server.state.alert_models import AlertEventRow, AlertRow, OutboxRow, SilenceRow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hostpulse_server.alerts.dispatch import Turn

LOOK: Final = 5.0
_CONFIG: Final = """\
data_dir = "{folder}"
[site]
grafana_url = "https://graphs.example.org"
[alerts]
rules = []
{alerts}
[channels.pager]
kind = "webhook"
url_file = "{folder}/pager_url"
{more}
"""
MAIL: Final = """\
[channels.mail]
kind = "email"
host = "127.0.0.1"
from = "hostpulse@example.org"
to = ["ops@example.org"]
"""


@dataclass(frozen=True)
class Heard:
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
class Desk:
    """What a test does with it; ``is_down`` lets messages wait in the outbox."""

    folder: Path
    alerts: str = 'group_wait = "10s"'
    more: str = ""
    clock: ManualClock = field(default_factory=ManualClock)
    heard: list[Heard] = field(default_factory=list)
    is_down: bool = False

    def __post_init__(self) -> None:
        """Make the database."""
        self.folder.mkdir(exist_ok=True, parents=True)
        (self.folder / "pager_url").write_text("https://pager.example.org/")
        (self.folder / "pager_url").chmod(0o600)
        path = self.folder / "server.toml"
        path.write_text(_CONFIG.format(folder=self.folder, alerts=self.alerts, more=self.more))
        self.config = load(path, {})
        self.database = state.open_engine(self.config.state.url)
        state.upgrade(self.database)
        self.began_ms = self.clock.ms
        self.restart()

    def close(self) -> None:
        """Close the database."""
        self.database.dispose()

    def restart(self) -> None:
        """Begin with a dispatcher that knows nothing."""
        links = Links(self.config, self.clock)
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
            fingerprint=Identity(rule, server_id, tuple(sorted(tags.items()))).fingerprint,
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
            runbook="",
            labels=dict(labels or {}),
            evidence={"facts": {"verdict": verdict}} if verdict else {},
            started_ms=self.clock.ms,
            fired_ms=self.clock.ms,
            reason="",
            comment="",
        )
        with state.writing(self.database) as session:
            session.add(row)
            session.flush()
            number = row.id
        self._event(number, "firing")
        return number

    def rise(self, number: int, severity: str = "critical") -> None:
        """Give an alert another severity."""
        self._change(number, "severity", severity=severity)

    def end(self, number: int) -> None:
        """Resolve an alert."""
        self._change(number, "resolved", state="resolved", resolved_ms=self.clock.ms)

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

    def _change(self, number: int, kind: str, **values: Any) -> None:
        with state.writing(self.database) as session:
            session.execute(sa.update(AlertRow).where(AlertRow.id == number).values(**values))
        self._event(number, kind)

    def _event(self, number: int, kind: str) -> None:
        with state.writing(self.database) as session:
            session.add(AlertEventRow(alert_id=number, at_ms=self.clock.ms, kind=kind, document={}))

    def turn(self) -> Turn:
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
                self.heard.append(Heard((now_ms - self.began_ms) / 1000, row.channel, message))

    def run(self, seconds: float) -> list[Heard]:
        """Let time pass as the engine does; return what was heard meanwhile."""
        before, end_ms = len(self.heard), self.clock.ms + int(seconds * 1000)
        next_ms = self._settle()
        while self.clock.ms < end_ms:
            look_ms = self.clock.ms + int(LOOK * 1000)
            self.clock.ms = min(end_ms, look_ms, max(self.clock.ms + 50, next_ms or look_ms))
            next_ms = self._settle()
        return self.heard[before:]

    def _settle(self) -> int | None:
        """Take turns until there is nothing to write now."""
        done = self.turn()
        while done.next_ms is not None and done.next_ms <= self.clock.ms:
            done = self.turn()
        return done.next_ms
