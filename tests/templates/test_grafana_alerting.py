"""The provisioning of alerting is made of the rules file and of the server's channels."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from ansible.template import Templar, trust_as_template
from tests.policy.repository import ROOT
from tests.templates.render import loader

PACK = (ROOT / "roles/hostpulse_server/files/rules/hostpulse.yml").read_text(encoding="utf-8")
WATCHDOG = (ROOT / "grafana/alerting/watchdog.yml").read_text(encoding="utf-8")
# no query knows what a host had for a day
NAMES = {rule["name"] for rule in yaml.safe_load(PACK)["rules"] if rule.get("kind") != "absent"}
WATCHED = {"ingest_silent", "journal_lag", "alert_engine_stalled"}
SECRETS = "/run/credentials/hostpulse-grafana.service"
LABELS = {"web-01": {"env": "production"}, "web-02": {"env": "staging"}}
CHANNELS: dict[str, dict[str, Any]] = {
    "ops": {"kind": "slack"},
    "mail": {"kind": "email", "host": "smtp.example.org", "from": "a@b.example", "to": ["x@y.z"]},
    "pager": {"kind": "webhook"},
}


def made(mode: str = "watchdog", *texts: str, **given: Any) -> dict[str, Any]:
    """Return what the filter gives a template of Ansible's."""
    whole = {
        "mode": mode,
        "watchdog": WATCHDOG,
        "rules": {str(number): text for number, text in enumerate(texts or (PACK,))},
        "template": "{{ define }}",
        "bucket": "hostpulse_raw",
        "labels": LABELS,
        "secrets": SECRETS,
        **given,
    }
    templar = Templar(loader(), {"given": whole})
    template = trust_as_template("{{ given | hostpulse.platform.grafana_alerting }}")
    return dict(templar.template(template))


def rules(mode: str, *texts: str) -> list[dict[str, Any]]:
    """Return the alert rules of all groups."""
    groups = made(mode, *texts)["provisioning"].get("groups", [])
    return [rule for group in groups for rule in group["rules"]]


def one(text: str, title: str) -> dict[str, Any]:
    """Return the alert rule of a title, from one rules file."""
    (found,) = (rule for rule in rules("full", text) if rule["title"] == title)
    return found


def flux(rule: dict[str, Any]) -> str:
    """Return the query of an alert rule."""
    return str(rule["data"][0]["model"]["query"])


@pytest.mark.parametrize(
    ("mode", "names"), [("off", set()), ("watchdog", WATCHED), ("full", WATCHED | NAMES)]
)
def test_a_mode_says_which_rules_there_are(mode: str, names: set[str]) -> None:
    """By default only what watches hostpulse from outside: the alert engine tells the rest."""
    assert {rule["labels"]["rule"] for rule in rules(mode)} == names


def condition_of(level: dict[str, Any]) -> dict[str, Any]:
    """Return what fires at a level of the file, and what ends it where the file says that."""
    if "above" in level:
        fires, ends, clear = ("gt", level["above"]), "lt", level.get("clear_below")
    else:
        fires, ends, clear = ("lt", level["below"]), "gt", level.get("clear_above")
    condition = {"evaluator": {"type": fires[0], "params": [fires[1]]}}
    unload = {"unloadEvaluator": {"type": ends, "params": [clear]}} if clear is not None else {}
    return {**condition, **unload}


def test_each_level_is_a_rule_with_the_files_threshold_and_time() -> None:
    """A number stands in the rules file and nowhere else."""
    for rule in yaml.safe_load(PACK)["rules"]:
        for severity, level in rule["levels"].items():
            if "kind" in rule:
                continue
            found = one(PACK, f"{rule['name']} {severity}")
            assert found["data"][2]["model"]["conditions"] == [condition_of(level)]
            assert found["for"] == level.get("for", rule.get("for", "0s"))
            assert found["annotations"]["runbook"] == rule["runbook"]


def test_titles_and_uids_are_unique_and_short_enough() -> None:
    """A second title in a folder is refused, and so is a uid of more than 40 characters."""
    found = rules("full")
    assert len({rule["title"] for rule in found}) == len({rule["uid"] for rule in found})
    assert len({rule["uid"] for rule in found}) == len(found)
    assert all(len(rule["uid"]) <= 40 for rule in found)


def test_nothing_to_compare_is_an_alert_for_the_watchdog_alone() -> None:
    """A store that is down is one message, not one for each rule."""
    states = {rule["labels"]["rule"]: rule["noDataState"] for rule in rules("full")}
    assert {name for name, state in states.items() if state == "Alerting"} == {"ingest_silent"}


OVERRIDES = """
rules:
  - name: odd
    measurement: cpu
    field: usage_percent
    levels: {warning: {above: 80}}
    overrides:
      - {match: {server_id: "build-*"}, levels: {warning: {above: 95}}}
      - {match: {label.env: staging}, enabled: false}
"""


@pytest.mark.parametrize(
    ("over", "span"), [("1m30s", 90), ("1.5h", 5400), ("1w", 604_800), ("1500ms", 2), ("0s", 180)]
)
def test_a_rule_looks_back_as_far_as_the_engine(over: str, span: int) -> None:
    """Every duration that a rules file may hold is meant; Grafana has whole seconds."""
    text = OVERRIDES.replace("measurement: cpu", f"measurement: cpu\n    over: {over}")
    assert one(text, "odd warning")["data"][0]["relativeTimeRange"] == {"from": span, "to": 0}


def test_an_override_is_a_rule_of_its_own_and_the_rule_leaves_its_series_out() -> None:
    """The first that matches counts; labels become the servers that have them."""
    plain, changed = one(OVERRIDES, "odd warning"), one(OVERRIDES, "odd warning 1")
    build = '(exists r["server_id"] and r["server_id"] =~ /^build\\-.*$/)'
    staging = 'contains(value: r["server_id"], set: ["web-02"])'
    assert f"filter(fn: (r) => not ({build}))" in flux(plain)
    assert f"filter(fn: (r) => not ({staging}))" in flux(plain)
    assert f"filter(fn: (r) => {build})" in flux(changed)
    assert changed["data"][2]["model"]["conditions"][0]["evaluator"]["params"] == [95]
    assert len(rules("full", OVERRIDES)) == 2 + len(rules("watchdog"))


def test_a_summary_says_the_same_in_grafanas_words() -> None:
    """A value that the file scales is scaled by an expression of the rule."""
    swapping = one(PACK, "swapping warning")
    said = swapping["annotations"]["summary"]
    assert said.startswith("{{ $labels.server_id }} swaps: {{ printf")
    assert "$values.D0.Value" in said
    assert swapping["data"][3]["model"]["expression"] == "$B / 1048576"
    assert "{{ $labels.mount }}" in one(PACK, "disk_usage warning")["annotations"]["summary"]


def test_without_a_channel_the_policy_is_left_alone() -> None:
    """Grafana's own default tells, and nothing of a team's is overwritten."""
    assert set(made()["provisioning"]) == {"apiVersion", "groups"}


def test_channels_become_contact_points_without_their_secrets() -> None:
    """What is secret is a reference to what systemd hands to Grafana."""
    found = made(channels=CHANNELS, routes=[{"match": {}, "channels": ["ops", "mail", "pager"]}])
    (point,) = found["provisioning"]["contactPoints"]
    kinds = {one["type"]: one["settings"] for one in point["receivers"]}
    assert kinds["slack"]["url"] == f"$__file{{{SECRETS}/channel_ops}}"
    assert kinds["webhook"]["url"] == f"$__file{{{SECRETS}/channel_pager}}"
    assert kinds["email"]["addresses"] == "x@y.z"
    assert found["smtp"]["host"] == "smtp.example.org:587"
    assert "user" not in found["smtp"]


def test_routes_keep_their_order_and_where_none_matches_nobody_is_told() -> None:
    """Globs become expressions, a label the servers that have it; others' come after ours."""
    theirs = {"receiver": "team", "object_matchers": [["team", "=", "a"]]}
    routes = [
        {"match": {"severity": "critical", "env": "production"}, "channels": ["ops", "mail"]},
        {"match": {"rule": "disk_*"}, "channels": ["ops"]},
    ]
    policy = made(channels=CHANNELS, routes=routes, others=[theirs], alerts={"group_wait": "0s"})
    (tree,) = policy["provisioning"]["policies"]
    ours = tree["routes"][0]
    assert tree["routes"][1] == theirs
    assert ours["object_matchers"] == [["source", "=", "hostpulse"]]
    assert (ours["group_by"], ours["group_wait"], ours["repeat_interval"]) == (
        ["rule", "severity"], "0s", "4h"
    )  # fmt: skip
    first, second, last = ours["routes"]
    assert first["object_matchers"] == [
        ["severity", "=", "critical"],
        ["server_id", "=~", "^(web\\-01)$$"],
    ]
    assert first["receiver"] == "hostpulse ops + mail"
    policy = made(channels=CHANNELS, routes=routes, alerts={"group_by": "auto"})
    assert policy["provisioning"]["policies"][0]["routes"][0]["group_by"] == ["rule", "severity"]
    assert second["object_matchers"] == [["rule", "=~", "^disk_.*$$"]]
    assert last["mute_time_intervals"] == [policy["provisioning"]["muteTimes"][0]["name"]]


def test_without_routes_every_channel_gets_warnings_and_above() -> None:
    """As the alert engine does."""
    (tree,) = made(channels=CHANNELS)["provisioning"]["policies"]
    matched = [one.get("object_matchers") for one in tree["routes"][0]["routes"]]
    assert matched[:2] == [[["severity", "=", "warning"]], [["severity", "=", "critical"]]]
    assert tree["routes"][0]["routes"][0]["receiver"] == "hostpulse mail + ops + pager"
    assert json.dumps(tree)
