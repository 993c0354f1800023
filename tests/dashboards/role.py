"""What the roles give a Grafana that reads two buckets of an influxd: its dashboards, its token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from testbed.influxdb.local import ORG
from tests.dashboards.committed import Dashboard
from tests.policy.repository import ROOT
from tests.templates.render import HOST, evaluate

if TYPE_CHECKING:
    from testbed.influxdb.local import Influxd

ROLE = "hostpulse_grafana"


def client(influxd: Influxd, raw: str, rollup: str) -> dict[str, Any]:
    """Return the variable that says where InfluxDB is and how its buckets are called."""
    host = HOST["inventory_hostname"]
    found = {"url": influxd.url, "org": ORG, "ca_file": "", "host": host}
    return {"__hostpulse_influxdb_client": {**found, "bucket_raw": raw, "bucket_rollup": rollup}}


def adapted(influxd: Influxd, raw: str, rollup: str) -> list[Dashboard]:
    """Return the dashboards as the role of Grafana writes them for buckets of these names."""
    given = {"role_path": str(ROOT / "roles" / ROLE), **client(influxd, raw, rollup)}
    texts = evaluate(ROLE, "__hostpulse_grafana_dashboards_rendered", **given)
    return [Dashboard.of(name.removesuffix(".json"), texts[name]) for name in sorted(texts)]


def data_source_token(influxd: Influxd, raw: str, rollup: str) -> str:
    """Return a token with the rights that the role of InfluxDB gives Grafana's."""
    names = {"hostpulse_influxdb_bucket_raw": raw, "hostpulse_influxdb_bucket_rollup": rollup}
    groups = {**HOST["groups"], "hostpulse_grafana": ["Monitor"]}
    tokens = evaluate("hostpulse_influxdb", "__hostpulse_influxdb_tokens", groups=groups, **names)
    (ours,) = (one for one in tokens if one["name"] == "hostpulse grafana")

    def ids(those: list[str]) -> list[str]:
        found = (influxd.call("GET", f"/api/v2/buckets?name={name}") for name in those)
        return [one["buckets"][0]["id"] for one in found]

    return influxd.token(read=ids(ours["read"]), write=ids(ours["write"]))
