"""The data source and the alerting that the role provisions, and a real Grafana that has them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from testbed.grafana.local import Grafana
from testbed.influxdb.local import ORG
from tests.e2e.influx import RAW, ROLLUP
from tests.policy.repository import ROOT
from tests.templates.render import HOST, evaluate, render

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbed.influxdb.local import Influxd

ROLE = "hostpulse_grafana"
CHANNELS = {"ops": {"kind": "slack", "webhook_url": "a secret", "allow_private": True}}
SECRET = "channel_ops"  # where both roles put what is secret of it
# What roles know of a site with a Grafana beside the server.
GIVEN: dict[str, Any] = {
    "inventory_hostname": "Monitor",
    "groups": {**HOST["groups"], "hostpulse_grafana": ["Monitor"]},
    "hostpulse_public_name": "monitor.example.org",
    "hostpulse_server_channels": CHANNELS,
    "hostpulse_server_alerts": {"group_wait": "0s"},
}
# Within a test and not within minutes.
_EVERY = "10s"
_SOON = {"unified_alerting": {"alertmanager_config_poll_interval": "5s"}}


@contextmanager
def grafana_with_alerting(
    folder: Path, influxd: Influxd, url: str, rules: dict[str, str], **given: Any
) -> Iterator[Grafana]:
    """Give it running: it reads the raw bucket, and its channel leads to ``url``."""
    with Grafana.start(
        folder / "grafana",
        provisioning=provision(folder, influxd, url, rules, **given),
        settings=_SOON,
    ) as grafana:
        yield grafana


def provision(
    folder: Path, influxd: Influxd, url: str, rules: dict[str, str], **given: Any
) -> Path:
    """Write the role's provisioning of data source and alerting; return its folder."""
    client = {"url": influxd.url, "org": ORG, "ca_file": ""}
    known = {
        **GIVEN,
        "__hostpulse_influxdb_client": {**client, "bucket_raw": RAW, "bucket_rollup": ROLLUP},
        "__hostpulse_grafana_credentials_dir": str(folder),
        "__hostpulse_server_rules": rules,
        "role_path": str(ROOT / "roles" / ROLE),
        **given,
    }
    (folder / "alerting").mkdir(parents=True, exist_ok=True)
    (folder / "datasources").mkdir()
    (folder / "influxdb_grafana_token").write_text(influxd.operator_token)
    (folder / SECRET).write_text(f"{url}\n")
    (folder / "datasources/hostpulse.yml").write_text(render(ROLE, "datasources.yml.j2", **known))
    made = evaluate(ROLE, "__hostpulse_grafana_alerting_rendered", **known)["provisioning"]
    for group in made["groups"]:
        group["interval"] = _EVERY
    (folder / "alerting/hostpulse.json").write_text(json.dumps(made))
    return folder


def rules_of(grafana: Grafana) -> list[dict[str, Any]]:
    """Return the rules that it evaluates, each with its state."""
    groups = grafana.api("GET", "/api/prometheus/grafana/api/v1/rules")["data"]["groups"]
    return [rule for group in groups for rule in group["rules"]]
