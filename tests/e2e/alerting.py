"""A site whose alerts a receiver of the test hears of, and hosts that have one alert each."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests
import sqlalchemy as sa
from tests.e2e.killed_process import LAST_SEQ
from tests.e2e.services import Site
from tests.e2e.traffic import STREAM
from tests.support.polling import DEADLINE, wait_until
from tests.support.slack_receiver import SlackReceiver

from hostpulse_server.runtime.clock import SYSTEM
from hostpulse_server.state import open_engine, reading
from hostpulse_server.state.alert_models import AlertEventRow, AlertRow, OutboxRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.support.slack_receiver import Post

PHASES = tuple(LAST_SEQ)
STEP_MS = 10_000
_VALUES = {"pending": {1: 10, 2: 90}, "firing": {3: 90, 4: 90}, "resolved": {5: 10}}
_RULES = """\
rules:
  - name: cpu_usage
    summary: "CPU {{ value }} % on {{ server_id }}"
    measurement: cpu
    field: usage_percent
    for: 20s
    levels: {warning: {above: 80}}
"""
# what ships, and who and what a message is about, for a program to read
_TEMPLATE = """\
{
  "text": "{{ text }}",
  "blocks": {{ blocks }},
  "message_id": "{{ message_id }}",
  "kind": "{{ kind }}",
  "servers": [{% for alert in alerts %}{{ "," if not loop.first }}
              "{{ alert.server_id }}"{% endfor %}]
}
"""
_CONFIG = """\
[alerts]
rules = ["{folder}/rules.yml"]
templates = "{folder}/templates"
group_by = ["server_id"]
group_wait = "0s"
messages_per_minute = 600
[channels.slack]
kind = "slack"
webhook_url_file = "slack_webhook_url"
allow_private = true
"""


@contextmanager
def watching(folder: Path, server_ids: Iterable[str], config: str = _CONFIG) -> Iterator[Watch]:
    """Give a site with its api running; engines are the test's to start.

    In ``config``, more TOML, ``{folder}`` stands for the folder.
    """
    (folder / "rules.yml").write_text(_RULES)
    (folder / "templates").mkdir()
    (folder / "templates" / "slack.json").write_text(_TEMPLATE)
    secret = folder / "slack_webhook_url"
    secret.touch(0o600)
    with SlackReceiver() as receiver, requests.Session() as session:
        secret.write_text(receiver.url)
        site = Site.make(folder, config.replace("{folder}", str(folder)))
        database = open_engine(site.config.state.url)
        with site.running("api"):
            site.await_api()
            yield Watch(site, receiver, site.register(server_ids), database, session)
        database.dispose()


@dataclass
class Watch:
    """What a test does with it."""

    site: Site
    receiver: SlackReceiver
    _keys: dict[str, str]
    _database: sa.Engine
    _session: requests.Session
    _begun: dict[str, int] = field(default_factory=dict)

    def post(self, server_id: str, phase: str) -> None:
        """Have a host send what brings its alert to a phase; it is acknowledged."""
        self.send(server_id, _VALUES[phase])

    def send(self, server_id: str, values: dict[int, int]) -> None:
        """Have a host send samples by their numbers, ten seconds apart, the first a minute old."""
        begun_ms = self._begun.setdefault(server_id, SYSTEM.now_ms() - 60_000)
        samples = [
            {
                "seq": seq,
                "time": begun_ms + seq * STEP_MS,
                "interval_ms": STEP_MS,
                "points": [{"measurement": "cpu", "fields": {"usage_percent": value}}],
            }
            for seq, value in values.items()
        ]
        agent = {"version": "0.1.0", "stream": STREAM}
        body = {"schema": 1, "server_id": server_id, "agent": agent, "samples": samples}
        headers = {"X-API-Key": self._keys[server_id], "Content-Type": "application/json"}
        url = f"{self.site.url}/api/v1/metrics"
        answer = self._session.post(url, json.dumps(body), headers=headers, timeout=DEADLINE)
        assert answer.json()["accepted"] == len(samples)

    def posts(self, server_id: str) -> list[Post]:
        """Return the messages about a host, confirmed or not."""
        return [one for one in list(self.receiver.posts) if server_id in one.payload["servers"]]

    def confirmed(self, server_id: str) -> list[str]:
        """Return the kinds of the messages about a host that the receiver has confirmed."""
        return [one.payload["kind"] for one in self.posts(server_id) if one.answered == 200]

    def await_phase(self, server_id: str, phase: str) -> None:
        """Return once a host's alert has come to a phase and people know of it."""

        def holds() -> bool:
            if phase == "pending":
                return [one["state"] for one in self.alerts(server_id)] == ["pending"]
            return phase in self.confirmed(server_id)

        wait_until(holds, f"the alert of {server_id} is {phase}")

    def await_sent(self) -> None:
        """Return once no message waits."""
        waiting = sa.select(sa.func.count()).where(OutboxRow.state != "sent")
        wait_until(lambda: self._rows(waiting) == [{"count": 0}], "no message waits")

    def outbox(self) -> list[dict[str, Any]]:
        """Return all messages as they are on disk."""
        columns = (OutboxRow.kind, OutboxRow.state, OutboxRow.attempts)
        return self._rows(sa.select(*columns).order_by(OutboxRow.id))

    def alerts(self, server_id: str) -> list[dict[str, Any]]:
        """Return a host's alerts, old and new."""
        columns = (AlertRow.id, AlertRow.state)
        return self._rows(sa.select(*columns).where(AlertRow.server_id == server_id))

    def events(self, server_id: str) -> Counter[str]:
        """Return how often what befell a host's alerts."""
        events = sa.select(AlertEventRow.kind).join(AlertRow, AlertRow.id == AlertEventRow.alert_id)
        found = self._rows(events.where(AlertRow.server_id == server_id))
        return Counter(one["kind"] for one in found)

    def _rows(self, statement: sa.Executable) -> list[dict[str, Any]]:
        with reading(self._database) as session:
            return [dict(row) for row in session.execute(statement).mappings()]
