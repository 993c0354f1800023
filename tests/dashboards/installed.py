"""A real Grafana with the data source and the dashboards that the role gives it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from engines.grafana.local import Grafana
from engines.influxdb.local import ORG
from tests.dashboards import frontend
from tests.dashboards.committed import FOLDER, Dashboard
from tests.policy.estate import ROOT
from tests.templates.render import HOST, evaluate, render

if TYPE_CHECKING:
    from pathlib import Path

    from engines.influxdb.local import Influxd
    from tests.dashboards.committed import Question

ROLE = "hostpulse_grafana"
UID = "hostpulse"
_PATIENCE_SECONDS = 30.0


def start(folder: Path, influxd: Influxd, raw: str, rollup: str) -> Grafana:
    """Start a Grafana that reads two buckets of an influxd, provisioned as on a host."""
    client = {"url": influxd.url, "org": ORG, "ca_file": "", "host": HOST["inventory_hostname"]}
    given = {
        "__hostpulse_influxdb_client": {**client, "bucket_raw": raw, "bucket_rollup": rollup},
        "__hostpulse_grafana_credentials_dir": str(folder),
        "__hostpulse_grafana_current": str(folder),
    }
    (folder / "influxdb_grafana_token").write_text(data_source_token(influxd, raw, rollup))
    for kind in ("datasources", "dashboards"):
        path = folder / f"etc/provisioning/{kind}/hostpulse.yml"
        path.parent.mkdir(parents=True)
        path.write_text(render(ROLE, f"{kind}.yml.j2", **given))
    (folder / "etc/dashboards").mkdir()
    texts = evaluate(
        ROLE, "__hostpulse_grafana_adapted", role_path=str(ROOT / "roles" / ROLE), **given
    )
    for name, text in texts.items():
        (folder / "etc/dashboards" / name).write_text(text)
    return Grafana.start(folder / "grafana", provisioning=folder / "etc/provisioning")


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


def dashboards(grafana: Grafana) -> list[Dashboard]:
    """Return what Grafana itself has as dashboards, once all that are shipped are there."""
    shipped = {path.stem for path in FOLDER.glob("*.json")}
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (there := {one["uid"] for one in grafana.api("GET", "/api/search?type=dash-db")}) != (
        shipped
    ):
        assert time.monotonic() < deadline, f"{there} are there and not {shipped}"
        time.sleep(0.05)
    whole = (grafana.api("GET", f"/api/dashboards/uid/{uid}") for uid in sorted(shipped))
    return [Dashboard.of(one["dashboard"]["uid"], json.dumps(one["dashboard"])) for one in whole]


def further_source(grafana: Grafana, uid: str, token: str) -> None:
    """Add a data source like the one provisioned, but for its token."""
    known = grafana.api("GET", f"/api/datasources/uid/{UID}")
    kept = {name: known[name] for name in ("type", "access", "url", "jsonData")}
    secret = {"token": token}
    document = {**kept, "name": uid, "uid": uid, "secureJsonData": secret}
    grafana.api("POST", "/api/datasources", document)


class Page:
    """A dashboard as somebody has it open, with the time that is chosen."""

    def __init__(
        self, grafana: Grafana, dashboard: Dashboard, span_ms: int, end_ms: int, source: str = UID
    ) -> None:
        """Set variables as they are when it is opened: all, or the first there is."""
        self._grafana = grafana
        self._span_ms = span_ms
        self._end_ms = end_ms
        self.variables: dict[str, str | list[str]] = {"datasource": source}
        for one in dashboard.variables():
            if one["type"] == "query":
                frames = self._frames(one["query"])
                values = sorted(text for frame in frames for text in frame["data"]["values"][0])
                choice = frontend.ALL if one["includeAll"] else values[0]
                self.variables[one["name"]] = frontend.chosen(one, values, choice)

    def columns(self, question: Question) -> list[str]:
        """Return the names of the columns that a query finds values for; times alone are none."""
        found = []
        for frame in self._frames(question.flux, question.interval_ms, question.points):
            columns = zip(frame["schema"]["fields"], frame["data"]["values"], strict=True)
            kinds = {
                field["name"]: field["type"]
                for field, values in columns
                if any(value not in (None, "") for value in values)
            }
            found += list(kinds) if set(kinds.values()) - {"time"} else []
        return found

    def _frames(self, flux: str, least_ms: int = 0, points: int = 0) -> list[dict[str, Any]]:
        query: dict[str, Any] = {
            "refId": "A",
            "datasource": {"type": "influxdb", "uid": self.variables["datasource"]},
            "query": frontend.filled(flux, self.variables),
        }
        if points:  # variables are asked for without
            every_ms = frontend.interval_ms(self._span_ms, points, least_ms)
            query |= {"maxDataPoints": points, "intervalMs": every_ms}
        start = self._end_ms - self._span_ms
        document = {"queries": [query], "from": str(start), "to": str(self._end_ms)}
        return list(self._grafana.api("POST", "/api/ds/query", document)["results"]["A"]["frames"])
