"""Two clones that report as one server: a status, an alert and a line in doctor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from click.testing import CliRunner
from tests.policy.repository import ROOT

from hostpulse_server.cli import root
from hostpulse_server.journal import SamplesRecord
from hostpulse_server.journal.records import SAMPLES
from hostpulse_server.operator.server_views import server_status
from hostpulse_server.registry.machines import mark_conflicts
from hostpulse_server.runtime.clock import SYSTEM
from hostpulse_server.self_metrics.sampling import server_point
from hostpulse_server.shipper.last_seen import LastSeen
from hostpulse_server.state import writing

if TYPE_CHECKING:
    from app.tests.engine.conftest import AlertsSite

    from hostpulse_server.values.server_status import Status

PACK = ROOT / "roles/hostpulse_server/files/rules/hostpulse.yml"


def hear(site: AlertsSite, *streams: str) -> None:
    """Let ten seconds pass, and a sample of each stream arrive."""
    site.clock.move(10)
    for number, stream in enumerate(streams):
        site.seq[stream] += 1
        sample = {
            "seq": site.seq[stream],
            "time": site.clock.ms + number,
            "interval_ms": 10_000,
            "points": [{"measurement": "cpu", "fields": {"usage_percent": 1.0}}],
        }
        record = SamplesRecord(
            "web-01", site.clock.ms, {"version": "0.1.0", "stream": stream}, [sample]
        )
        site.journal.append(record.encode(), SAMPLES, site.clock.ms)
    server = site.registry.server("web-01")
    seen = LastSeen("web-01", site.clock.ms, site.clock.ms, 10_000, "0.1.0", None)
    if site.clock.ms // 10_000 % 6 == 0:
        site.say(server_point(server, seen, site.clock.ms))
    site.run(1)


def status(site: AlertsSite) -> Status:
    """Return the status that lists and the api show."""
    seen = LastSeen("web-01", site.clock.ms, site.clock.ms, 10_000, "0.1.0", None)
    return server_status(site.registry.server("web-01"), seen, site.clock.ms)


def doctor(site: AlertsSite) -> str:
    """Return what doctor says of the servers."""
    command = ["doctor", "--json", "--config", str(site.path)]
    parts = json.loads(CliRunner().invoke(root, command).stdout)
    return next(str(one["text"]) for one in parts if one["part"] == "servers")


def test_two_clones_are_seen_said_and_forgotten(site: AlertsSite) -> None:
    """Once they alternate, until one has been alone for a quarter of an hour."""
    site.write_rules(PACK.read_text())
    site.run(3)
    for _ in range(30):
        hear(site, "a", "b")
    assert status(site) == "conflict"
    assert ("web-01", "server_conflict", "firing", "warning") in site.alerts()
    for _ in range(95 + 30):
        hear(site, "b")
    assert status(site) == "up"
    for _ in range(12):
        hear(site, "b")
    (alert,) = (one for one in site.alerts() if one[1] == "server_conflict")
    assert alert == ("web-01", "server_conflict", "resolved", "warning")


def test_doctor_names_the_servers_that_two_machines_report_as(site: AlertsSite) -> None:
    """As long as the status says so."""
    assert doctor(site) == "2 registered"
    with writing(site.database) as session:
        mark_conflicts(session, ["web-02"], SYSTEM.now_ms())
    assert doctor(site).startswith("two machines report as web-02; see docs/runbooks.md")
