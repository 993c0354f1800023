"""In mode full Grafana tells what the rules file says, through its own contact points."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from ansible.template import Templar, trust_as_template
from engines.grafana.local import Grafana
from engines.influxdb.local import ORG, Influxd
from tests.e2e.services import wait_until
from tests.policy.estate import ROOT
from tests.servers.slack_receiver import SlackReceiver
from tests.templates.render import loader

if TYPE_CHECKING:
    from pathlib import Path

PACK = (ROOT / "roles/hostpulse_server/files/rules/hostpulse.yml").read_text(encoding="utf-8")
# It fires with the first evaluation instead of after five minutes; another host has its own limit.
AT_ONCE = """
rules:
  - name: disk_usage
    for: 0s
    overrides: [{match: {server_id: "archive-*"}, levels: {warning: {above: 99}, critical: null}}]
"""
FIRES = {"disk_usage critical", "disk_usage warning"}
SHIPPED = ROOT / "grafana/alerting"


def alerting(secrets: Path) -> dict[str, Any]:
    """Return what the role would provision for one Slack channel."""
    given = {
        "mode": "full",
        "watchdog": (SHIPPED / "watchdog.yml").read_text(encoding="utf-8"),
        "template": (SHIPPED / "hostpulse.tmpl").read_text(encoding="utf-8"),
        "rules": {"10-hostpulse.yml": PACK, "50-01-site.yml": AT_ONCE},
        "bucket": "hostpulse_raw",
        "labels": {"web-01": {"env": "production"}},
        "channels": {"ops": {"kind": "slack"}},
        "routes": [{"match": {"severity": "critical", "env": "production"}, "channels": ["ops"]}],
        "alerts": {"group_wait": "0s"},
        "secrets": str(secrets),
        "interval": "10s",
    }
    template = trust_as_template("{{ given | hostpulse.platform.grafana_alerting }}")
    made: dict[str, Any] = Templar(loader(), {"given": given}).template(template)
    return dict(made["provisioning"])


def firing(grafana: Grafana) -> set[str]:
    """Return the titles of the rules that fire."""
    groups = grafana.api("GET", "/api/prometheus/grafana/api/v1/rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    return {rule["name"] for rule in rules if rule["state"] == "firing"}


def test_a_rule_of_the_file_reaches_people_through_grafana(tmp_path: Path) -> None:
    """One message, about the host that is over its limit, to the channel of its route."""
    folder = tmp_path / "provisioning"
    with (
        Influxd.start(tmp_path / "influxd") as influxd,
        SlackReceiver() as receiver,
    ):
        influxd.bucket("hostpulse_raw")
        now = time.time_ns() // 1_000_000
        influxd.write(
            "hostpulse_raw",
            f"disk,server_id=web-01,mount=/var used_percent=93.4 {now}\n"
            f"disk,server_id=archive-01,mount=/ used_percent=93.4 {now}\n"
            f"pipeline samples_per_second=1,store_lag_seconds=0,alerts_lag_seconds=0 {now}\n",
        )
        (tmp_path / "channel_ops").write_text(f"{receiver.url}/ops\n")
        (folder / "alerting").mkdir(parents=True)
        (folder / "datasources").mkdir()
        (folder / "alerting/hostpulse.json").write_text(json.dumps(alerting(tmp_path)))
        source = {
            "name": "hostpulse", "uid": "hostpulse", "type": "influxdb", "url": influxd.url,
            "jsonData": {"version": "Flux", "organization": ORG},
            "secureJsonData": {"token": influxd.operator_token},
        }  # fmt: skip
        document = {"apiVersion": 1, "datasources": [source]}
        (folder / "datasources/hostpulse.yml").write_text(json.dumps(document))
        soon = {"unified_alerting": {"alertmanager_config_poll_interval": "5s"}}
        with Grafana.start(tmp_path / "grafana", provisioning=folder, settings=soon) as grafana:
            wait_until(lambda: len(receiver.posts) > 0, "a message", 150)
            (post,) = receiver.posts
            said = json.dumps(post.payload)
            assert "/var 93.4 % full on web-01" in said
            assert "docs/runbooks.md#disk_usage" in said
            assert "archive-01" not in said
            wait_until(lambda: firing(grafana) == FIRES, f"{FIRES} firing", 90)
            assert len(receiver.posts) == 1
