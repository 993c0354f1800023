"""With Grafana beside the server, one incident makes one message in all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from testbed.influxdb.local import Influxd
from tests.e2e import influx
from tests.e2e.alerting import watching
from tests.e2e.grafana_alerting import GIVEN, SECRET, grafana_with_alerting, rules_of
from tests.support.polling import wait_until
from tests.templates.render import render

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.grafana.local import Grafana

pytestmark = pytest.mark.grafana

HOST = "web-01"
RULES = """\
rules:
  - name: cpu_usage
    summary: "CPU {{ value }} % on {{ server_id }}"
    measurement: cpu
    field: usage_percent
    levels: {warning: {above: 80}}
"""
OF_GRAFANA = "/of-grafana"  # at the end of its channel's address


@pytest.mark.parametrize(
    ("given", "fires", "teller"),
    [
        ({}, set(), "the server"),
        ({"hostpulse_grafana_alerts": "full"}, {"cpu_usage warning"}, "Grafana"),
    ],
    ids=["by default", "in mode full"],
)
def test_one_incident_makes_one_message(
    tmp_path: Path, given: dict[str, Any], fires: set[str], teller: str
) -> None:
    """Both watch the same host; the server's settings and Grafana's are the roles' own."""
    (tmp_path / SECRET).touch(0o600)
    (tmp_path / "one.yml").write_text(RULES)
    with Influxd.start(tmp_path / "influxd") as influxd:
        config = influx.prepare(influxd, tmp_path) + _channels(tmp_path, given)
        with watching(tmp_path, [HOST], config) as watch:
            url = watch.receiver.url
            (tmp_path / SECRET).write_text(url)
            rules = {"one.yml": RULES}
            with (
                watch.site.running("alert"),
                watch.site.running("ship"),
                grafana_with_alerting(
                    tmp_path / "role", influxd, url + OF_GRAFANA, rules, **given
                ) as grafana,
            ):
                watch.send(HOST, {1: 90})
                watch.site.await_shipped()
                assert _judged(grafana) == fires
                assert [one["state"] for one in watch.alerts(HOST)] == ["firing"]
                watch.await_sent()
                watch.receiver.await_posts(1)
                tellers = [
                    "Grafana" if post.path.endswith(OF_GRAFANA) else "the server"
                    for post in watch.receiver.posts
                ]
                assert tellers == [teller]


def _channels(folder: Path, given: dict[str, Any]) -> str:
    """Return what the server's role writes of alerts and whom they reach."""
    text = render("hostpulse_server", "server.toml.j2", **{**GIVEN, **given})
    ours = text[text.index("[alerts]") :]
    return ours.replace("[alerts]", f'[alerts]\nrules = ["{folder}/one.yml"]', 1)


def _judged(grafana: Grafana) -> set[str]:
    """Return the rules that fire by Grafana's next evaluation of all its rules."""
    before = {rule["name"]: rule["lastEvaluation"] for rule in rules_of(grafana)}
    assert before

    def evaluated() -> bool:
        return all(rule["lastEvaluation"] != before[rule["name"]] for rule in rules_of(grafana))

    wait_until(evaluated, "Grafana evaluates its rules")
    return {rule["name"] for rule in rules_of(grafana) if rule["state"] == "firing"}
