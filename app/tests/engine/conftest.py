"""A data directory with an alert engine over a real journal and a real state database."""

from __future__ import annotations

import json
import threading
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from tests.support.clock import ManualClock
from tests.support.installation import Installation

from hostpulse_server import state
from hostpulse_server.engine.active_silences import ActiveSilences
from hostpulse_server.engine.ingest_monitor import IngestMonitor
from hostpulse_server.engine.kept_rules import KeptRules
from hostpulse_server.engine.loop import Engine
from hostpulse_server.engine.rules_reloader import RulesReloader
from hostpulse_server.engine.server_directory import ServerDirectory
from hostpulse_server.journal import Journal, SamplesRecord
from hostpulse_server.journal.records import INTERNAL, SAMPLES, encode_internal
from hostpulse_server.liveness import LivenessMonitor, Probe
from hostpulse_server.notifications import Dispatcher
from hostpulse_server.notifications.action_links import ActionLinks
from hostpulse_server.rules import RuleSet
from hostpulse_server.state.models import Base

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from hostpulse_server.values.points import StorePoint

STEP = 10.0
RULES = """\
rules:
  - name: cpu_usage
    summary: "CPU {{ value }} % on {{ server_name }}"
    runbook: docs/runbooks.md#cpu_usage
    measurement: cpu
    field: usage_percent
    where: {core: total}
    for: 30s
    levels:
      warning: {above: 80, clear_below: 75}
      critical: {above: 95, clear_below: 90}
    labels: {team: web}
  - name: disk_usage
    summary: "{{ mount }} {{ value }} % full"
    measurement: disk
    field: used_percent
    levels: {warning: {above: 80}}
"""
_CONFIG = """\
[journal]
max_bytes = "64MiB"
min_free_bytes = "0B"
[alerts]
rules = ["{folder}/rules/*.yml"]
group_wait = "0s"
[channels.pager]
kind = "webhook"
url_file = "{folder}/pager_url"
"""


class Nobody:
    """A prober whose hosts never answer."""

    def ask(self, server_id: str, address: str) -> None:
        """Ask nobody."""

    def answer(self, server_id: str) -> Probe | None:  # noqa: ARG002 - a prober's
        """Tell that nobody answered."""
        return None

    def forget(self, server_id: str) -> None:
        """Know nothing."""


class AlertsSite(Installation):
    """The parts, and what a test does with them; ``engine`` is replaced by ``restart``."""

    def __init__(self, folder: Path) -> None:
        self.clock: ManualClock
        super().__init__(folder, _CONFIG.format(folder=folder), clock=ManualClock())
        (folder / "pager_url").write_text("https://pager.example.org/")
        (folder / "pager_url").chmod(0o600)
        (folder / "rules").mkdir()
        self.write_rules(RULES)
        self.make_database()
        self.journal = self.open_journal()
        self.seq: Counter[str] = Counter()
        self.woken = 0
        self.restart()

    def close(self) -> None:
        """Close all files."""
        self.journal.close()
        super().close()

    def open_journal(self) -> Journal:
        """Open the journal's file, or make one."""
        return Journal.open(
            self.config.paths.journal, max_bytes=2**26, min_free_bytes=0, clock=self.clock
        )

    def restart(self) -> None:
        """Begin with an engine that knows only what is on disk."""
        directory = ServerDirectory(self.registry, self.clock)
        self.rules = RulesReloader(
            self.config.alerts.rules, self.clock, KeptRules(self.config.paths.kept_rules)
        )
        self.dispatcher = Dispatcher(
            self.config, self.clock, ActionLinks(self.config, self.clock), directory.server
        )
        self.engine = Engine(
            journal=self.journal,
            database=self.database,
            directory=directory,
            rules=self.rules,
            liveness=LivenessMonitor(
                RuleSet({}), self.clock, Nobody(), None, ActiveSilences(self.database, self.clock)
            ),
            ingest=IngestMonitor(
                self.config,
                self.journal,
                self.clock,
                ask=lambda _config: None,
                start=lambda action: action(),
            ),
            dispatcher=self.dispatcher,
            clock=self.clock,
            stop=threading.Event(),
            wake=self._note_wake,
            idle_seconds=0,
        )

    def _note_wake(self) -> None:
        self.woken += 1

    def write_rules(self, text: str, name: str = "site.yml") -> None:
        """Write a rules file."""
        (self.folder / "rules" / name).write_text(text)

    def run(self, seconds: float = 0.0) -> None:
        """Let time pass, a second at a time, and have the engine do all it can."""
        for _ in range(max(1, int(seconds))):
            self.clock.move(min(1.0, seconds))
            self.drain()

    def drain(self) -> None:
        """Have the engine read all there is, as far as it gets."""
        position = -1
        while position < self.engine._reader.cursor.position:
            position = self.engine._reader.cursor.position
            self.engine.turn()

    def send(
        self,
        server_id: str,
        points: Sequence[Mapping[str, Any]],
        *,
        time_ms: int | None = None,
        events: Sequence[Mapping[str, Any]] = (),
        **sample: Any,
    ) -> None:
        """Append one sample as the api does."""
        self.seq[server_id] += 1
        taken = {
            "seq": self.seq[server_id],
            "time": self.clock.ms if time_ms is None else time_ms,
            "interval_ms": int(STEP * 1000),
            "points": list(points),
            **sample,
        }
        agent = {"version": "0.1.0", "stream": "s"}
        record = SamplesRecord(
            server_id, self.clock.ms, agent, [taken], events=[dict(one) for one in events]
        )
        self.journal.append(record.encode(), SAMPLES, self.clock.ms)

    def cpu(self, server_id: str, *values: float) -> None:
        """Let a host report these, ten seconds apart, the engine reading each as it comes."""
        for value in values:
            self.clock.move(STEP)
            self.send(server_id, [cpu(value)])
            self.drain()

    def say(self, *points: StorePoint) -> None:
        """Append what the server measures itself."""
        self.journal.append(encode_internal(points), INTERNAL, self.clock.ms)

    def rows(self, table: str, order: str = "id") -> list[dict[str, Any]]:
        """Return a table's rows."""
        with state.reading(self.database) as session:
            found = session.execute(sa.text(f"SELECT * FROM {table} ORDER BY {order}"))  # noqa: S608
            return [dict(row) for row in found.mappings()]

    def alerts(self) -> list[tuple[str, str, str, str]]:
        """Return server, rule, state and severity of all alerts, the oldest first."""
        names = ("server_id", "rule", "state", "severity")
        return [tuple(row[name] for name in names) for row in self.rows("alerts")]

    def events(self) -> list[str]:
        """Return what befell the alerts, without why nobody was notified."""
        kinds = [row["kind"] for row in self.rows("alert_events")]
        return [kind for kind in kinds if not kind.startswith("suppressed")]

    def cursor(self) -> dict[str, Any]:
        """Return the engine's cursor as it is on disk."""
        (row,) = self.rows("alert_cursor")
        return {**row, **json.loads(row.pop("document"))}

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        """Return all tables, without the time at which the engine last worked."""
        found = {}
        for table in Base.metadata.sorted_tables:
            keys = ", ".join(column.name for column in table.primary_key)
            found[table.name] = self.rows(table.name, keys)
        for row in found["alert_cursor"]:
            del row["alive_ms"]
        return found


def cpu(value: float, core: str = "total") -> dict[str, Any]:
    """Return a point of ``cpu``."""
    return {"measurement": "cpu", "tags": {"core": core}, "fields": {"usage_percent": value}}


def disk(mount: str, value: float) -> dict[str, Any]:
    """Return a point of ``disk``."""
    return {"measurement": "disk", "tags": {"mount": mount}, "fields": {"used_percent": value}}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[AlertsSite]:
    """Give a site with two hosts."""
    with closing(AlertsSite(tmp_path)) as made:
        made.registry.add({"id": "web-01", "name": "Web", "labels": {"env": "prod"}})
        made.registry.add({"id": "web-02"})
        yield made
