"""The alerting that the role provisions is taken, and InfluxDB takes the query of every rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e.influx import RAW
from tests.e2e.telling import provision, rules_of
from tests.policy.estate import ROOT
from tests.servers.grafana_api.local import SERVERS, StandIn

if TYPE_CHECKING:
    from pathlib import Path

    from engines.grafana.local import Grafana
    from engines.influxdb.local import Influxd

PACK = (ROOT / "roles/hostpulse_server/files/rules/hostpulse.yml").read_text(encoding="utf-8")
SITE = """
rules:
  - name: cpu_usage
    overrides:
      - {match: {label.env: staging}, levels: {warning: {above: 99}, critical: null}}
      - {match: {server_id: "build-*"}, levels: {warning: {above: 97}}}
"""
CHANNELS = {
    "ops": {"kind": "slack", "webhook_url": "a secret", "allow_private": True},
    "pager": {"kind": "webhook", "url": "a secret"},
    "mail": {"kind": "email", "host": "mail.example.org", "from": "a@b.example", "to": ["x@y.z"]},
}
FULL = {
    "hostpulse_grafana_alerts": "full",
    "hostvars": {"Monitor": {}, "Web-01": {"hostpulse_labels": {"env": "staging"}}},
    "hostpulse_server_channels": CHANNELS,
    "hostpulse_server_routes": [
        {"match": {"severity": "critical", "env": "staging"}, "channels": ["ops", "mail"]},
        {"match": {"rule": "disk_*"}, "channels": ["pager"]},
        {"match": {}, "channels": ["ops"]},
    ],
}


@pytest.fixture
def raw(influxd: Influxd) -> Influxd:
    """Give an influxd with the bucket that rules read."""
    if not influxd.call("GET", f"/api/v2/buckets?name={RAW}").get("buckets"):
        influxd.bucket(RAW)
    return influxd


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(("given", "least"), [({}, 3), (FULL, 30)], ids=["watchdog", "full"])
def test_every_rule_is_taken_and_its_query_runs(
    server: type[Grafana], raw: Influxd, tmp_path: Path, given: dict[str, Any], least: int
) -> None:
    """Contact points, policies, templates and rules together, with a site's own overrides."""
    (tmp_path / "role").mkdir()
    (tmp_path / "role/channel_pager").write_text("http://127.0.0.1:1/pager\n")
    rules = {"10-hostpulse.yml": PACK, "50-site.yml": SITE}
    folder = provision(tmp_path / "role", raw, "http://127.0.0.1:1/hook", rules, **given)
    with server.start(tmp_path / "server", provisioning=folder) as grafana:
        found = rules_of(grafana)
        assert len(found) >= least
        assert [
            (one["name"], one.get("lastError")) for one in found if one["health"] == "err"
        ] == []


def test_a_rule_whose_query_is_broken_is_found(raw: Influxd, tmp_path: Path) -> None:
    """Or the test above would hold whatever the queries are."""
    folder = provision(tmp_path / "role", raw, "http://127.0.0.1:1/hook", {})
    path = folder / "alerting/hostpulse.json"
    path.write_text(path.read_text().replace("filter(fn: (r)", "filtre(fn: (r)", 1))
    with StandIn.start(tmp_path / "server", provisioning=folder) as grafana:
        (fault,) = (one["lastError"] for one in rules_of(grafana) if one["health"] == "err")
    assert "filtre" in fault
