"""A real Grafana with the data source and the dashboards that the role gives it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from testbed.grafana.local import Grafana
from tests.dashboards import role
from tests.dashboards.committed import FOLDER, Dashboard
from tests.dashboards.datasource import Column, Frame
from tests.support.polling import wait_until
from tests.templates.render import render

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.influxdb.local import Influxd
    from tests.dashboards.datasource import Query

ROLE = role.ROLE
UID = "hostpulse"
_PATIENCE_SECONDS = 30.0


def start(folder: Path, influxd: Influxd, raw: str, rollup: str) -> Grafana:
    """Start a Grafana that reads two buckets of an influxd, provisioned as on a host."""
    given = {
        **role.client(influxd, raw, rollup),
        "__hostpulse_grafana_credentials_dir": str(folder),
        "__hostpulse_grafana_current": str(folder),
    }
    (folder / "influxdb_grafana_token").write_text(role.data_source_token(influxd, raw, rollup))
    for kind in ("datasources", "dashboards"):
        path = folder / f"etc/provisioning/{kind}/hostpulse.yml"
        path.parent.mkdir(parents=True)
        path.write_text(render(ROLE, f"{kind}.yml.j2", **given))
    (folder / "etc/dashboards").mkdir()
    for one in role.adapted(influxd, raw, rollup):
        (folder / f"etc/dashboards/{one.name}.json").write_text(one.text)
    return Grafana.start(folder / "grafana", provisioning=folder / "etc/provisioning")


def dashboards(grafana: Grafana) -> list[Dashboard]:
    """Return what Grafana itself has as dashboards, once all that are shipped are there."""
    shipped = {path.stem for path in FOLDER.glob("*.json")}

    def present() -> set[str]:
        return {one["uid"] for one in grafana.api("GET", "/api/search?type=dash-db")}

    wait_until(lambda: present() == shipped, f"all of {shipped}", _PATIENCE_SECONDS)
    whole = (grafana.api("GET", f"/api/dashboards/uid/{uid}") for uid in sorted(shipped))
    return [Dashboard.of(one["dashboard"]["uid"], json.dumps(one["dashboard"])) for one in whole]


class GrafanaDataSource:
    """A data source of a Grafana, which expands the macros of a query itself."""

    def __init__(self, grafana: Grafana, uid: str = UID) -> None:
        self._grafana = grafana
        self._uid = uid

    def frames(self, query: Query) -> list[Frame]:
        """Return what a query finds; raise EngineError with the words of a refusal."""
        macros = query.macros
        target: dict[str, Any] = {
            "refId": "A",
            "datasource": {"type": "influxdb", "uid": self._uid},
            "query": query.flux,
        }
        if query.max_data_points:
            target |= {"maxDataPoints": query.max_data_points, "intervalMs": macros.interval_ms}
        times = {"from": str(macros.start_ms), "to": str(macros.stop_ms)}
        answer = self._grafana.api("POST", "/api/ds/query", {"queries": [target], **times})
        return [_frame(one) for one in answer["results"]["A"]["frames"]]


def _frame(document: dict[str, Any]) -> Frame:
    columns = zip(document["schema"]["fields"], document["data"]["values"], strict=True)
    labels: dict[str, str] = {}
    found = []
    for field, values in columns:
        labels |= field.get("labels") or {}
        found.append(Column(field["name"], field["type"] == "time", values))
    return Frame(labels, found)
