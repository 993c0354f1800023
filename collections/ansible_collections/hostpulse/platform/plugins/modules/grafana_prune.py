"""Remove alerting objects that are no longer in Grafana's provisioning files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostpulse.platform.plugins.module_utils.grafana import (
    COMMON,
    named,
    run,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.service_module import (
    outcome,
)

if TYPE_CHECKING:
    from ansible_collections.hostpulse.platform.plugins.module_utils.grafana import (
        Client,
    )

DOCUMENTATION = r"""
module: grafana_prune
short_description: Remove alerting objects that are no longer in Grafana's provisioning files
description:
  - Grafana keeps alert rules, contact points, the notification policy, message templates and mute
    timings that were removed from its provisioning files, and deletes them only by such a file.
    This module writes one, reloads Grafana's provisioning and removes the file.
  - Only rules and receivers whose uid begins with O(prefix) are removed, and the templates and mute
    timings that are named.
  - The folder that provisioning created for the rules is removed, too, if it is empty.
extends_documentation_fragment: hostpulse.platform.grafana
options:
  prefix: {description: Prefix of our uids., type: str, required: true}
  templates: {description: Names of our message templates., type: list, elements: str, default: []}
  mute_timings: {description: Names of our mute timings., type: list, elements: str, default: []}
  rules_folder: {description: Title of the folder of our rules., type: str, required: true}
  document:
    description: The current content of the provisioning files, as one document.
    type: dict
    required: true
  folder: {description: Folder of the provisioning files of alerting., type: path, required: true}
author: [hostpulse]
"""

EXAMPLES = r"""
- name: Remove alert rules and contact points that are no longer provisioned
  hostpulse.platform.grafana_prune:
    url: http://127.0.0.1:3000/grafana
    user: admin
    password_file: /etc/hostpulse/grafana/admin_password
    prefix: hostpulse-
    templates: [hostpulse]
    mute_timings: [hostpulse tells nobody]
    rules_folder: hostpulse rules
    document: {apiVersion: 1}
    folder: /etc/grafana/provisioning/alerting
"""

RETURN = r""" # """

FILE = "leftovers.json"
PROVISIONING = "/v1/provisioning"


def ensure(module: AnsibleModule, client: Client) -> dict[str, Any]:
    """Remove our objects that are not in the document."""
    given = module.params
    document, prefix = given["document"], given["prefix"]
    wanted_rules = {rule["uid"] for group in document.get("groups", ()) for rule in group["rules"]}
    wanted_receivers = {
        receiver["uid"]
        for point in document.get("contactPoints", ())
        for receiver in point["receivers"]
    }
    all_rules = client.call("GET", f"{PROVISIONING}/alert-rules")
    rules = _ours(all_rules, prefix) - wanted_rules
    points = client.call("GET", f"{PROVISIONING}/contact-points")
    receivers = _ours(points, prefix) - wanted_receivers
    templates = _named(client, "templates", given["templates"]) - _names(document, "templates")
    times = _named(client, "mute-timings", given["mute_timings"]) - _names(document, "muteTimes")
    policy = client.call("GET", f"{PROVISIONING}/policies")
    resets = policy.get("provenance") == "file" and "policies" not in document
    stay = [one for one in all_rules if one["uid"] not in rules]
    empty = None if wanted_rules else _emptied(client, given["rules_folder"], stay)
    before = {
        "rules": sorted(rules),
        "receivers": sorted(receivers),
        "templates": sorted(templates),
        "mute timings": sorted(times),
        "policy": resets,
        "folder": empty is not None,
    }
    after = {key: [] if isinstance(value, list) else False for key, value in before.items()}
    result = outcome("left over in Grafana", before, after)
    if module.check_mode:
        return result
    gone: dict[str, Any] = {
        "deleteRules": _each("uid", rules),
        "deleteContactPoints": _each("uid", receivers),
        "deleteTemplates": _each("name", templates),
        "deleteMuteTimes": _each("name", times),
        "resetPolicies": [1] if resets else [],
    }
    if any(gone.values()):
        _provision(client, Path(given["folder"]) / FILE, gone)
    if empty is not None:
        client.call("DELETE", f"/folders/{named(empty)}")
    return result


def _provision(client: Client, path: Path, gone: dict[str, Any]) -> None:
    """Reload Grafana's provisioning with a file that deletes objects; remove the file."""
    try:
        path.write_text(json.dumps({"apiVersion": 1, **gone}), encoding="utf-8")
        path.chmod(0o644)
        client.call("POST", "/admin/provisioning/alerting/reload")
    finally:
        path.unlink(missing_ok=True)


def _ours(found: list[dict[str, Any]], prefix: str) -> set[str]:
    return {one["uid"] for one in found if str(one.get("uid", "")).startswith(prefix)}


def _named(client: Client, kind: str, names: list[str]) -> set[str]:
    # Grafana 10 does not return the provenance of templates.
    found = client.call("GET", f"{PROVISIONING}/{kind}") or ()
    return {one["name"] for one in found} & set(names)


def _names(document: dict[str, Any], kind: str) -> set[str]:
    return {one["name"] for one in document.get(kind, ())}


def _each(key: str, values: set[str]) -> list[dict[str, Any]]:
    return [{"orgId": 1, key: value} for value in sorted(values)]


def _emptied(client: Client, title: str, stay: list[dict[str, Any]]) -> str | None:
    """Return the uid of the folder if nothing is in it once only these rules are left."""
    listed = client.call("GET", "/search", limit=5000)
    uid = next(
        (one["uid"] for one in listed if one["type"] == "dash-folder" and one["title"] == title),
        None,
    )
    has_some = any(one.get("folderUid") == uid for one in listed)
    if uid is None or has_some or any(one["folderUID"] == uid for one in stay):
        return None
    return str(uid)


def main() -> None:
    """Run the module."""
    options = {
        "prefix": {"type": "str", "required": True},
        "templates": {"type": "list", "elements": "str", "default": []},
        "mute_timings": {"type": "list", "elements": "str", "default": []},
        "rules_folder": {"type": "str", "required": True},
        "document": {"type": "dict", "required": True},
        "folder": {"type": "path", "required": True},
    }
    spec = {**COMMON, **options}
    run(AnsibleModule(argument_spec=spec, supports_check_mode=True), ensure)


if __name__ == "__main__":
    main()
