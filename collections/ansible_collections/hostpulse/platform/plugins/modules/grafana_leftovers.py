"""Take out of Grafana what its provisioning files once had and have no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostpulse.platform.plugins.module_utils.grafana import (
    COMMON,
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
module: grafana_leftovers
short_description: Take out of Grafana what its provisioning files once had and have no more
description:
  - Grafana keeps alert rules, contact points and the notification policy of provisioning files that
    no longer have them, and lets nothing but such a file take them out. This writes one, has
    Grafana read it and removes it again.
  - Only rules and receivers whose uid begins with O(prefix) are looked at.
extends_documentation_fragment: hostpulse.platform.grafana
options:
  prefix: {description: What the uids of ours begin with., type: str, required: true}
  document:
    description: What the provisioning files have now, as one document.
    type: dict
    required: true
  folder: {description: Folder of the provisioning files of alerting., type: path, required: true}
author: [hostpulse]
"""

EXAMPLES = r"""
- name: Take out what is no longer provisioned
  hostpulse.platform.grafana_leftovers:
    url: http://127.0.0.1:3000/grafana
    user: admin
    password_file: /etc/hostpulse/grafana/admin_password
    prefix: hostpulse-
    document: {apiVersion: 1}
    folder: /etc/grafana/provisioning/alerting
"""

RETURN = r""" # """

FILE = "leftovers.json"
PROVISIONING = "/v1/provisioning"


def ensure(module: AnsibleModule, client: Client) -> dict[str, Any]:
    """Take out what is of ours and not in the document."""
    given = module.params
    document, prefix = given["document"], given["prefix"]
    wanted_rules = {rule["uid"] for group in document.get("groups", ()) for rule in group["rules"]}
    wanted_receivers = {
        receiver["uid"]
        for point in document.get("contactPoints", ())
        for receiver in point["receivers"]
    }
    rules = _ours(client, "alert-rules", prefix) - wanted_rules
    receivers = _ours(client, "contact-points", prefix) - wanted_receivers
    policy = client.call("GET", f"{PROVISIONING}/policies")
    resets = policy.get("provenance") == "file" and "policies" not in document
    before = {"rules": sorted(rules), "receivers": sorted(receivers), "policy": resets}
    after = {"rules": [], "receivers": [], "policy": False}
    result = outcome("left over in Grafana", before, after)
    if result["changed"] and not module.check_mode:
        gone: dict[str, Any] = {
            "apiVersion": 1,
            "deleteRules": [{"orgId": 1, "uid": uid} for uid in sorted(rules)],
            "deleteContactPoints": [{"orgId": 1, "uid": uid} for uid in sorted(receivers)],
        }
        if resets:
            gone["resetPolicies"] = [1]
        path = Path(given["folder"]) / FILE
        try:
            path.write_text(json.dumps(gone), encoding="utf-8")
            path.chmod(0o644)
            client.call("POST", "/admin/provisioning/alerting/reload")
        finally:
            path.unlink(missing_ok=True)
    return result


def _ours(client: Client, kind: str, prefix: str) -> set[str]:
    found = client.call("GET", f"{PROVISIONING}/{kind}")
    return {one["uid"] for one in found if str(one.get("uid", "")).startswith(prefix)}


def main() -> None:
    """Run the module."""
    options = {
        "prefix": {"type": "str", "required": True},
        "document": {"type": "dict", "required": True},
        "folder": {"type": "path", "required": True},
    }
    spec = {**COMMON, **options}
    run(AnsibleModule(argument_spec=spec, supports_check_mode=True), ensure)


if __name__ == "__main__":
    main()
