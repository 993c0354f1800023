"""The alerting that the role provisions is taken, and its rules find in InfluxDB what is ill."""

from __future__ import annotations

import time
import uuid
from operator import gt, itemgetter, lt
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pytest
from testbed.influxdb.local import ORG
from tests.e2e.grafana_alerting import provision, rules_of
from tests.e2e.influx import RAW
from tests.policy.repository import ROOT
from tests.servers.grafana_api import flux
from tests.servers.grafana_api.local import SERVERS, StandIn
from tests.templates.test_grafana_alerting import made

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from testbed.grafana.local import Grafana
    from testbed.influxdb.local import Influxd

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


def custom(text: str, levels: str = "{warning: {above: 80}}") -> str:
    """Return a rules file with one rule over the field v."""
    return f"rules: [{{name: case, measurement: m, field: v, levels: {levels}, {text}}}]"


BELOW = "{warning: {below: 5}}"
HOST = "m,server_id="
# Of each kind of rule: the rules file, and by series what is written of it, one value every ten
# seconds; those of the host "ill" are an alert, all others none.
CASES: dict[str, tuple[str, dict[str, list[str]]]] = {
    "above": (custom(""), {
        f"{HOST}ill": ["v=10", "v=80.1"], f"{HOST}at": ["v=80"], f"{HOST}was": ["v=99", "v=79"]}),
    "below": (custom("", BELOW), {
        f"{HOST}ill": ["v=9", "v=4.9"], f"{HOST}at": ["v=5"], f"{HOST}was": ["v=1", "v=9"]}),
    "mean by default": (custom("over: 1m"), {
        f"{HOST}ill": ["v=100", "v=100", "v=70"], f"{HOST}peak": ["v=10", "v=10", "v=100"]}),
    "max": (custom("over: 1m, aggregate: max"), {
        f"{HOST}ill": ["v=90", "v=1", "v=1"], f"{HOST}well": ["v=79", "v=79", "v=79"]}),
    "min": (custom("over: 1m, aggregate: min"), {
        f"{HOST}ill": ["v=81", "v=99"], f"{HOST}well": ["v=79", "v=99", "v=99"]}),
    "increase": (custom("over: 1m, aggregate: increase"), {
        f"{HOST}ill": ["v=7", "v=48", "v=90"], f"{HOST}first": ["v=90"],
        f"{HOST}still": ["v=90", "v=90"], f"{HOST}reset": ["v=90", "v=70", "v=75"],
        f"{HOST}ill,mount=/srv": ["v=90", "v=81"],
        f"{HOST}before": ["v=1", "v=90", *["v=90"] * 7]}),
    "increase only if another is above": (
        custom("over: 1m, aggregate: increase, only_if: [{field: w, above: 3}]"), {
            f"{HOST}ill": ["v=7,w=4", "v=90,w=4"], f"{HOST}other": ["v=7,w=4", "v=90,w=3"],
            f"{HOST}well": ["v=7,w=4", "v=8,w=4"]}),
    "no longer ago than it says": (custom("over: 1m, aggregate: max"), {
        f"{HOST}ill": ["v=90", *["v=1"] * 4], f"{HOST}before": ["v=90", *["v=1"] * 7]}),
    "only if another is above": (custom("only_if: [{field: w, above: 3}]"), {
        f"{HOST}ill": ["v=90,w=4"], f"{HOST}other": ["v=90,w=3"], f"{HOST}alone": ["v=90"],
        f"{HOST}well": ["v=70,w=4"]}),
    "only if another is below": (custom("only_if: [{field: w, below: 3}]", BELOW), {
        f"{HOST}ill": ["v=1,w=2"], f"{HOST}other": ["v=1,w=3"], f"{HOST}well": ["v=9,w=2"]}),
    "only if both hold": (
        custom("only_if: [{field: w, above: 3}, {field: u, below: 7}]"), {
            f"{HOST}ill": ["v=90,w=4,u=6"], f"{HOST}one": ["v=90,w=4,u=8"],
            f"{HOST}other": ["v=90,w=2,u=6"]}),
    "where": (custom('where: {core: total, mount: "/s*"}'), {
        f"{HOST}ill,core=total,mount=/srv": ["v=90"], f"{HOST}core,core=1,mount=/srv": ["v=90"],
        f"{HOST}mount,core=total,mount=/var": ["v=90"], f"{HOST}none,core=total": ["v=90"]}),
    "another field": (custom(""), {f"{HOST}ill": ["v=90"], f"{HOST}well": ["w=90"]}),
    "absolute": (custom("abs: true"), {
        f"{HOST}ill": ["v=-81"], f"{HOST}well": ["v=-79"], f"{HOST}small": ["v=3"]}),
    "absolute and below": (custom("abs: true", BELOW), {
        f"{HOST}ill": ["v=-4"], f"{HOST}well": ["v=-80"]}),
    "an override by server": (
        custom('overrides: [{match: {server_id: "b-*"}, levels: {warning: {above: 95}}}]'), {
            f"{HOST}ill": ["v=90"], f"{HOST}b-1": ["v=90"]}),
    "an override that is stricter": (
        custom("overrides: [{match: {server_id: ill}, levels: {warning: {above: 20}}}]"), {
            f"{HOST}ill": ["v=30"], f"{HOST}well": ["v=30"]}),
    "an override by label": (
        custom("overrides: [{match: {label.env: staging}, enabled: false}]"), {
            f"{HOST}ill": ["v=90"], f"{HOST}web-02": ["v=90"]}),
    "liveness": ("rules: [{name: l, kind: liveness, levels: {critical: {for: 3m}}}]", {
        f"server,server_id={host}": [f"status={status}"]
        for host, status in (
            *(("up", 0), ("late", 1), ("ill", 2), ("never", 3), ("disabled", 4), ("conflict", 5)),
        )}),
}  # fmt: skip
EVERY_MS = 10_000
REDUCERS: dict[str, Callable[[list[float]], float]] = {
    "last": itemgetter(-1), "mean": fmean, "min": min, "max": max, "sum": sum
}  # fmt: skip


def firing(influxd: Influxd, bucket: str, rule: dict[str, Any], stop_ms: int) -> set[str]:
    """Return the servers of which a rule is an alert, by what Grafana documents of expressions.

    A reducer makes one number of each series, a threshold says of each number whether it holds.
    https://grafana.com/docs/grafana/v10.0/panels-visualizations/query-transform-data/expression-queries/
    """
    asked, reduce, threshold = rule["data"][:3]
    assert (reduce["model"]["expression"], threshold["model"]["expression"]) == ("A", "B")
    assert rule["condition"] == threshold["refId"] == "C"
    source = {
        "url": influxd.url,
        "jsonData": {"organization": ORG, "defaultBucket": bucket},
        "secrets": {"token": influxd.operator_token},
    }
    span, model = asked["relativeTimeRange"], asked["model"]
    start, end = (stop_ms - span[key] * 1000 for key in ("from", "to"))
    reducer = REDUCERS[reduce["model"]["reducer"]]
    (condition,) = threshold["model"]["conditions"]
    (limit,) = condition["evaluator"]["params"]
    holds = {"gt": gt, "lt": lt}[condition["evaluator"]["type"]]
    found = set()
    for frame in flux.frames(source, flux.filled(model["query"], start, end, 10_000, source)):
        (number,) = (n for n, one in enumerate(frame["schema"]["fields"]) if one["type"] != "time")
        field = frame["schema"]["fields"][number]
        if holds(reducer(frame["data"]["values"][number]), limit):
            found.add(field["labels"]["server_id"])
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_rule_is_an_alert_of_those_that_are_ill_and_of_nobody_else(
    influxd: Influxd, name: str
) -> None:
    """Its query finds the values, its reducer and its threshold judge them as the rules file."""
    text, series = CASES[name]
    bucket = f"alerts_{uuid.uuid4().hex}"
    influxd.bucket(bucket)
    now = time.time_ns() // 1_000_000
    lines = [
        f"{head} {values} {now - 1000 - back * EVERY_MS}"
        for head, whole in series.items()
        for back, values in enumerate(reversed(whole))
    ]
    influxd.write(bucket, "\n".join(lines))
    groups = made("full", text, bucket=bucket)["provisioning"]["groups"]
    (rules,) = (group["rules"] for group in groups if group["name"] == "hostpulse rules")
    found = [firing(influxd, bucket, rule, now) for rule in rules]
    assert set().union(*found) == {"ill"}
