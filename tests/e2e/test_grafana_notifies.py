"""In mode full Grafana tells what the rules file says, through its own contact points."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from testbed.influxdb.local import Influxd
from tests.e2e.grafana_alerting import grafana_with_alerting, rules_of
from tests.policy.repository import ROOT
from tests.support.polling import wait_until
from tests.support.slack_receiver import SlackReceiver

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.grafana.local import Grafana

pytestmark = pytest.mark.grafana

PACK = (ROOT / "roles/hostpulse_server/files/rules/hostpulse.yml").read_text(encoding="utf-8")
# It fires with the first evaluation instead of after five minutes; another host has its own limit.
AT_ONCE = """
rules:
  - name: disk_usage
    for: 0s
    overrides: [{match: {server_id: "archive-*"}, levels: {warning: {above: 99}, critical: null}}]
"""
FIRES = {"disk_usage critical", "disk_usage warning"}
SITE = {
    "hostpulse_grafana_alerts": "full",
    "hostvars": {"Monitor": {}, "Web-01": {"hostpulse_labels": {"env": "production"}}},
    "hostpulse_server_routes": [
        {"match": {"severity": "critical", "env": "production"}, "channels": ["ops"]}
    ],
}


def firing(grafana: Grafana) -> set[str]:
    """Return the titles of the rules that fire."""
    return {rule["name"] for rule in rules_of(grafana) if rule["state"] == "firing"}


def test_a_rule_of_the_file_reaches_people_through_grafana(tmp_path: Path) -> None:
    """One message, about the host that is over its limit, to the channel of its route."""
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
        rules = {"10-hostpulse.yml": PACK, "50-01-site.yml": AT_ONCE}
        with grafana_with_alerting(
            tmp_path / "role", influxd, receiver.url, rules, **SITE
        ) as grafana:
            wait_until(lambda: len(receiver.posts) > 0, "a message", 150)
            (post,) = receiver.posts
            said = json.dumps(post.payload)
            assert "/var 93.4 % full on web-01" in said
            assert "docs/runbooks.md#disk_usage" in said
            assert "archive-01" not in said
            wait_until(lambda: firing(grafana) == FIRES, f"{FIRES} firing", 90)
            assert len(receiver.posts) == 1
