"""What the role writes for Grafana is what somebody has looked through: line by line, secrets out.

tests/support/golden.py says how the files are written anew.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from tests.policy.repository import ROOT
from tests.support.golden import golden
from tests.templates.render import HOST, evaluate, render
from tests.templates.test_grafana_templates import BESIDE

ROLE = "hostpulse_grafana"
PACK = (ROOT / "roles/hostpulse_server/files/rules/hostpulse.yml").read_text(encoding="utf-8")
# Over the pack: an override by label, one by server, one that takes servers out.
SITE = """
rules:
  - name: cpu_usage
    overrides:
      - {match: {label.env: staging}, levels: {warning: {above: 99}, critical: null}}
      - {match: {server_id: "build-*"}, levels: {warning: {above: 97, clear_below: 96}}}
  - name: disk_usage
    overrides:
      - {match: {server_id: archive-01, mount: /srv}, enabled: false}
"""
CHANNELS: dict[str, Any] = {
    "ops": {"kind": "slack", "webhook_url": "hush-ops"},
    "mail": {
        "kind": "email", "host": "mail.example.org", "port": 465, "security": "tls",
        "from": "hostpulse@example.org", "to": ["ada@example.org", "bo@example.org"],
        "username": "hostpulse", "password": "hush-mail",
    },
    "pager": {"kind": "webhook", "url": "hush-pager"},
}  # fmt: skip
FULL: dict[str, Any] = {
    "hostpulse_grafana_alerts": "full",
    "hostvars": {
        "Monitor": {},
        "Web-01": {"hostpulse_labels": {"env": "staging"}},
        "db-01": {"hostpulse_labels": {"env": "production"}},
    },
    "hostpulse_server_channels": CHANNELS,
    "hostpulse_server_routes": [
        {"match": {"severity": "critical", "env": "production"}, "channels": ["ops", "mail"]},
        {"match": {"rule": "disk_*"}, "channels": ["pager"]},
        {"match": {"label.env": "stag*", "server_id": "web-0[1-9]"}, "channels": ["mail"]},
        {"match": {}, "channels": ["ops"]},
    ],
    "hostpulse_server_alerts": {"group_by": ["server_id"], "group_wait": "30s"},
    "hostpulse_grafana_routes": [{"receiver": "crew", "object_matchers": [["team", "=", "crew"]]}],
    "__hostpulse_server_rules": {"10-hostpulse.yml": PACK, "50-site.yml": SITE},
}
UNIT = "hostpulse-grafana.service"


def alerting(**given: Any) -> dict[str, Any]:
    """Return what the role makes of alerting: the provisioning and the section [smtp]."""
    known = {**BESIDE, "role_path": str(ROOT / "roles" / ROLE), **given}
    made: dict[str, Any] = evaluate(ROLE, "__hostpulse_grafana_alerting_rendered", **known)
    return made


def provisioning(**given: Any) -> str:
    """Return the provisioning file of alerting as it is installed."""
    made = {"__hostpulse_grafana_alerting": alerting(**given)["provisioning"]}
    return str(evaluate(ROLE, "__hostpulse_grafana_alerting_text", **made))


def test_the_provisioning_of_mode_full_is_as_it_was_looked_through() -> None:
    """All rules, levels and overrides, contact points, the policy, and no secret."""
    text = provisioning(**FULL)
    assert text == golden(__file__, "alerting-full.json", text)
    assert "hush" not in text


def test_the_provisioning_of_mode_watchdog_is_as_it_was_looked_through() -> None:
    """By default, and without a channel."""
    text = provisioning()
    assert text == golden(__file__, "alerting-watchdog.json", text)


def test_every_alert_has_the_label_that_the_policy_matches() -> None:
    """Or no alert of ours would come to our routes."""
    made = json.loads(provisioning(**FULL))
    (matcher,) = made["policies"][0]["routes"][0]["object_matchers"]
    name, sign, value = matcher
    assert sign == "="
    rules = [rule for group in made["groups"] for rule in group["rules"]]
    assert {rule["labels"][name] for rule in rules} == {value}


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("smtp-login.ini", {}),
        ("smtp-starttls.ini", {"username": "", "security": "starttls", "port": 587}),
    ],
)
def test_the_mail_server_of_its_settings_is_as_it_was_looked_through(
    name: str, more: dict[str, Any]
) -> None:
    """With a user name and without; the password is a credential."""
    channels = {**CHANNELS, "mail": {**CHANNELS["mail"], **more}}
    smtp = alerting(**{**FULL, "hostpulse_server_channels": channels})["smtp"]
    text = render(ROLE, "grafana.ini.j2", **{**BESIDE, "__hostpulse_grafana_smtp": smtp})
    section = "[smtp]\n" + text.split("[smtp]\n")[1].split("\n\n")[0].rstrip("\n") + "\n"
    assert section == golden(__file__, name, section)


@pytest.mark.parametrize(("name", "systemd"), [(UNIT, "252"), (f"systemd-254-{UNIT}", "254")])
def test_the_unit_is_as_it_was_looked_through(name: str, systemd: str) -> None:
    """Its limits, its sandbox, its credentials; a newer systemd waits longer each time."""
    facts = {**HOST["ansible_facts"], "systemd": {"version": systemd}}
    given = {**BESIDE, "ansible_facts": facts, "hostpulse_server_channels": CHANNELS}
    text = render(ROLE, f"{UNIT}.j2", **given)
    assert text == golden(__file__, name, text)


@pytest.mark.parametrize("kind", ["datasources", "dashboards"])
def test_the_provisioning_of_data_source_and_dashboards_is_as_it_was_looked_through(
    kind: str,
) -> None:
    """A key that is misspelt is passed over without a word."""
    text = render(ROLE, f"{kind}.yml.j2", **BESIDE)
    assert text == golden(__file__, f"{kind}.yml.txt", text)  # no file for yamllint
    assert yaml.safe_load(text)["apiVersion"] == 1
