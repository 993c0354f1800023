"""Create or delete an organization of InfluxDB 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostpulse.platform.plugins.module_utils.http_service import (
    ServiceError,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.influxdb_module import (
    COMMON,
    run,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.service_module import (
    STATE,
    outcome,
)

if TYPE_CHECKING:
    from ansible_collections.hostpulse.platform.plugins.module_utils.influxdb import (
        Client,
    )

DOCUMENTATION = r"""
module: influxdb_organization
short_description: Create or delete an organization of InfluxDB 2
description:
  - Creates an organization, sets its description, or deletes it if it has no buckets.
extends_documentation_fragment: hostpulse.platform.influxdb
options:
  name: {description: Name of the organization., type: str, required: true}
  description: {description: Text for people. Left out it stays as it is., type: str}
  state:
    description: >-
      C(absent) deletes the organization. The module fails if it still has buckets, because they
      and their data would be deleted, too.
    type: str
    choices: [present, absent]
    default: present
author: [hostpulse]
"""

EXAMPLES = r"""
- name: Make an organization
  hostpulse.platform.influxdb_organization:
    url: http://127.0.0.1:8086
    token_file: /etc/hostpulse/influxdb/operator.token
    name: hostpulse
"""

RETURN = r"""
id:
  description: Id of the organization; empty if it is not there (or not yet, in check mode).
  returned: success
  type: str
"""


def ensure(module: AnsibleModule, client: Client) -> dict[str, Any]:
    """Bring the organization into the wanted state."""
    given = module.params
    found = client.find("/orgs", "orgs", org=given["name"])
    before = found and {"name": found["name"], "description": found.get("description", "")}
    after = None
    if given["state"] == "present":
        after = {"description": "", **(before or {}), "name": given["name"]}
        after.update({} if given["description"] is None else {"description": given["description"]})
    if found and after is None:
        refuse_with_buckets(client, found)
    result = outcome(f"organization {given['name']}", before, after, id=(found or {}).get("id", ""))
    if result["changed"] and not module.check_mode:
        result["id"] = change(client, result["id"], after)
    return result


def change(client: Client, org_id: str, after: dict[str, Any] | None) -> str:
    """Make, change or end the organization; return its id."""
    if after is None:
        client.call("DELETE", f"/orgs/{org_id}")
        return ""
    method, path = ("PATCH", f"/orgs/{org_id}") if org_id else ("POST", "/orgs")
    return str(client.call(method, path, after)["id"])


def refuse_with_buckets(client: Client, org: dict[str, Any]) -> None:
    """Raise if the organization has buckets other than the server's own."""
    every = client.pages("/buckets", "buckets", orgID=org["id"])
    names = sorted(bucket["name"] for bucket in every if bucket.get("type") != "system")
    if names:
        raise ServiceError(
            f"organization {org['name']!r} still has buckets ({', '.join(names)}), whose data would"
            " go with it; end those first"
        )


def main() -> None:
    """Run the module."""
    options = {
        "name": {"type": "str", "required": True},
        "description": {"type": "str"},
        "state": STATE,
    }
    spec = {**COMMON, **options}
    run(AnsibleModule(argument_spec=spec, supports_check_mode=True), ensure, id="")


if __name__ == "__main__":
    main()
