"""Render the provisioning of Grafana's own alerting from rules files and the server's channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from ansible_collections.hostpulse.platform.plugins.plugin_utils.grafana_notify import (
    MUTE_ALWAYS,
    contact_points,
    effective_routes,
    literal,
    mail_server,
    policy,
)
from ansible_collections.hostpulse.platform.plugins.plugin_utils.grafana_rules import rules_of
from ansible_collections.hostpulse.platform.plugins.plugin_utils.plain import plain
from ansible_collections.hostpulse.platform.plugins.plugin_utils.thresholds import merge

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCUMENTATION = r"""
name: grafana_alerting
short_description: Render the provisioning of Grafana's own alerting
description:
  - Returns alert rules, contact points, notification policy and message template in the form of
    Grafana's provisioning files, and the mail section of its settings. They contain no secrets.
positional: _input
options:
  _input:
    description:
      - C(mode) is watchdog, full or off; C(watchdog) the text of the rules that watch hostpulse,
        C(rules) the texts of the rules files by name (for full), C(template) the message template,
        C(bucket) where raw samples are.
      - C(channels), C(routes) and C(alerts) are those of the server, without secrets, C(others)
        further routes, C(labels) the labels of each server by its id, C(secrets) the folder where
        Grafana finds channel_NAME, C(interval) how often rules are evaluated (a minute by default).
    type: dict
    required: true
author: [hostpulse]
"""

EXAMPLES = r"""
- name: Show the provisioning
  ansible.builtin.debug:
    msg: "{{ {'mode': 'watchdog', 'watchdog': text, 'bucket': 'hostpulse_raw'} | hostpulse.platform.grafana_alerting }}"
"""  # noqa: E501

RETURN = r"""
_value:
  description: C(provisioning) is the file's document, C(smtp) the section of settings.
  type: dict
"""

# No dashboard may have the title of a folder beside its own.
FOLDER = "hostpulse rules"
INTERVAL = "1m"
TEMPLATE = "hostpulse"


def grafana_alerting(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``provisioning`` and ``smtp``; see DOCUMENTATION."""
    given = plain(given)
    found: dict[str, Any] = {"apiVersion": 1}
    if given["mode"] == "off":
        return {"provisioning": found, "smtp": {}}
    labels = given.get("labels") or {}
    groups = {"watchdog": [given["watchdog"]]}
    if given["mode"] == "full":
        groups["rules"] = [text for _, text in sorted(given["rules"].items())]
    found["groups"] = [
        {
            "orgId": 1,
            "name": f"hostpulse {name}",
            "folder": FOLDER,
            "interval": given.get("interval", INTERVAL),
            "rules": [
                {**made, "title": literal(made["title"]), "labels": literal(made["labels"])}
                for rule in _merged(texts)
                for made in rules_of(rule, given["bucket"], labels)
            ],
        }
        for name, texts in groups.items()
    ]
    channels = given.get("channels") or {}
    if not channels:
        return {"provisioning": found, "smtp": {}}
    routes = effective_routes(given.get("routes") or [], channels)
    sets = sorted({tuple(route["channels"]) for route in routes})
    found["contactPoints"] = contact_points(channels, sets, given["secrets"])
    found["templates"] = [{"orgId": 1, "name": TEMPLATE, "template": given["template"]}]
    found["muteTimes"] = [{"orgId": 1, **MUTE_ALWAYS}]
    others = given.get("others") or []
    found["policies"] = [policy(routes, given.get("alerts") or {}, labels, others)]
    return {"provisioning": found, "smtp": mail_server(channels, given["secrets"])}


def _merged(texts: list[str]) -> list[dict[str, Any]]:
    """Return the rules of the files, merged over each other."""
    rules: dict[str, dict[str, Any]] = {}
    for text in texts:
        for rule in (yaml.safe_load(text) or {}).get("rules") or []:
            rules[rule["name"]] = merge(rules.get(rule["name"], {}), rule)
    return list(rules.values())


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"grafana_alerting": grafana_alerting}
