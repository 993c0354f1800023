"""What others learn about the engine: figures, measurements, doctor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from hostpulse_server import state
from hostpulse_server.api.app import create_app
from hostpulse_server.cli import root
from hostpulse_server.engine.status import LONG_MS, EngineStatusReader
from hostpulse_server.runtime.clock import SYSTEM
from hostpulse_server.self_metrics.sampling import SelfMetrics
from hostpulse_server.shipper.deliveries import decode
from hostpulse_server.shipper.last_seen import LastSeenReader
from hostpulse_server.shipper.state import ShipperState
from hostpulse_server.state.alert_models import OutboxRow

if TYPE_CHECKING:
    from app.tests.engine.conftest import AlertsSite


def figures(site: AlertsSite) -> dict[str, float]:
    """Return the engine's lines of GET /metrics."""
    app = create_app(site.config, registry=site.registry, journal=site.journal, clock=site.clock)
    lines = app.test_client().get("/metrics").text.splitlines()
    app.extensions["hostpulse"].store.close()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name: float(text) for name, text in pairs if "alert" in name or "notif" in name}


def test_metrics_say_how_the_engine_gets_on(site: AlertsSite) -> None:
    """Nothing before its first commit; then what fires, waits, lags and is wrong."""
    assert figures(site) == {}
    site.cpu("web-01", *[85] * 4)
    site.write_rules("rules: 7")
    site.run(3)
    site.journal.append(b"{", "samples", site.clock.ms)
    site.clock.move(7)
    found = figures(site)
    assert found['hostpulse_alerts_firing{severity="warning"}'] == 1
    assert found['hostpulse_alerts_firing{severity="critical"}'] == 0
    assert found["hostpulse_alerts_lag_seconds"] == 7
    assert found["hostpulse_alerts_rules"] == 2
    assert found["hostpulse_alerts_rules_fault"] == 1
    assert found["hostpulse_alerts_skipped_total"] == 0
    assert found["hostpulse_notifications_waiting"] == 2  # the alert, and word of the broken file
    assert 7 <= found["hostpulse_alerts_alive_seconds"] <= 12


def test_what_the_server_measures_has_the_engine_in_it(site: AlertsSite) -> None:
    """Alerts that fire on each host; lag and what waits."""
    site.cpu("web-01", *[85] * 4)
    site.run(2)
    shipper_state = ShipperState(site.config.paths.shipper, 300_000)
    measures = SelfMetrics(
        site.config,
        journal=site.journal,
        registry=site.registry,
        seen=LastSeenReader(site.config.paths.shipper, clock=site.clock),
        shipper_state=shipper_state,
        clock=site.clock,
    )
    site.clock.move(61)
    newest = site.journal.last_id()
    measures.turn()
    shipper_state.close()
    (entry,) = site.journal.read(newest, 10, 2**20)
    points = {(one.server_id, one.measurement): one.fields for one in decode(entry).points}
    assert points["web-01", "server"]["alerts_firing"] == 1
    assert points["web-02", "server"]["alerts_firing"] == 0
    assert points["", "pipeline"]["alerts_lag_seconds"] == 0
    assert points["", "pipeline"]["notifications_waiting"] == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"created_ms": -LONG_MS - 1, "error": "timeout"}, "channel pager: timeout"),
        ({"state": "failed", "done_ms": 0, "error": "HTTP 404"}, "channel pager: HTTP 404"),
        ({"state": "failed", "done_ms": -90_000_000, "error": "HTTP 404"}, ""),
        ({"state": "sent", "created_ms": -LONG_MS - 1}, ""),
    ],
)
def test_a_channel_that_takes_nothing_is_named(
    site: AlertsSite, change: dict[str, Any], said: str
) -> None:
    """One that lately refused for good, or that something waits for long."""
    now = site.clock.ms
    site.run()
    row: dict[str, Any] = {
        "channel": "pager",
        "kind": "firing",
        "document": {},
        "alert_ids": [],
        "refused_by": [],
        "error": "",
        "state": "waiting",
        "attempts": 1,
        "created_ms": 0,
        "next_ms": 0,
        "done_ms": None,
    }
    row.update(change)
    for name in ("created_ms", "done_ms"):
        row[name] = None if row[name] is None else now + row[name]
    with state.writing(site.database) as session:
        session.add(OutboxRow(**row))
    status = EngineStatusReader(site.database).get(now)
    assert status is not None
    assert status.trouble == said


def test_a_channel_that_has_taken_a_message_since_is_well(site: AlertsSite) -> None:
    """It refused one for good, another took its place; what came before does not count."""
    now = site.clock.ms
    site.run()
    row = {
        "channel": "pager",
        "kind": "firing",
        "document": {},
        "alert_ids": [],
        "refused_by": [],
        "attempts": 1,
        "created_ms": now,
    }
    failed = {**row, "state": "failed", "error": "HTTP 404", "done_ms": now, "next_ms": now}
    reader = EngineStatusReader(site.database)
    seen = []
    with state.writing(site.database) as session:
        session.add(OutboxRow(**failed))
    for channel, sent_ms in (("pager", now - 1), ("mail", now + 1), ("pager", now + 1)):
        sent = {**row, "channel": channel, "state": "sent", "error": ""}
        with state.writing(site.database) as session:
            session.add(OutboxRow(**sent, done_ms=sent_ms, next_ms=sent_ms))
        found = reader.get(now + 2)
        assert found is not None
        seen.append(found.trouble)
    assert seen == ["channel pager: HTTP 404"] * 2 + [""]


def test_doctor_examines_rules_engine_and_notifications(site: AlertsSite) -> None:
    """Each is a line; an engine that stands still and a broken file are faults."""

    def parts() -> dict[str, tuple[bool, str]]:
        command = ["doctor", "--json", "--config", str(site.config.source)]
        found = json.loads(CliRunner().invoke(root, command).stdout)
        return {part["part"]: (part["ok"], part["text"]) for part in found}

    found = parts()
    assert found["rules"] == (True, f"2 from {site.folder}/rules/*.yml")
    assert not found["alerts"][0]
    assert "hostpulse-alerts" in found["alerts"][1]
    site.clock.ms = SYSTEM.now_ms() - 50_000
    site.cpu("web-01", *[85] * 4)
    site.run(5)
    found = parts()
    assert found["alerts"][0]
    assert found["alerts"][1].endswith("firing: 1 warning")
    assert found["notifications"] == (True, "1 waiting, 0 failed")
    with state.writing(site.database) as session:
        session.connection().exec_driver_sql("UPDATE alert_cursor SET alive_ms = alive_ms - 60000")
    site.write_rules("rules: 7")
    found = parts()
    assert not found["rules"][0]
    assert "site.yml" in found["rules"][1]
    assert not found["alerts"][0]
    assert "is hostpulse-alerts running?" in found["alerts"][1]
    (site.folder / "pager_url").unlink()
    found = parts()
    assert not found["notifications"][0]
    assert "channels.pager.url_file" in found["notifications"][1]


def test_doctor_says_several_faults_of_a_part_in_one_line(site: AlertsSite) -> None:
    """Each line is a part, for people and for ``grep``."""
    site.write_rules("rules: [{name: one}, {name: two}]")
    command = ["doctor", "--config", str(site.config.source)]
    lines = CliRunner().invoke(root, command).stdout.splitlines()
    assert all(line.startswith(("ok  ", "FAIL  ", "WARN  ")) for line in lines), lines
    (line,) = (line for line in lines if line[6:].startswith("rules "))
    assert "rule one: " in line
    assert "rule two: " in line
