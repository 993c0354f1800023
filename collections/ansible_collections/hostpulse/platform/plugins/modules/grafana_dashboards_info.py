"""Read the current dashboards of a folder of Grafana."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostpulse.platform.plugins.module_utils.grafana import (
    COMMON,
    named,
    run,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.http_service import (
    ServiceError,
)

if TYPE_CHECKING:
    from ansible_collections.hostpulse.platform.plugins.module_utils.grafana import (
        Client,
    )

DOCUMENTATION = r"""
module: grafana_dashboards_info
short_description: Read the current dashboards of a folder of Grafana
description: Returns them without the keys that are specific to a server (id, version).
extends_documentation_fragment: hostpulse.platform.grafana
options:
  folder: {description: Uid of the folder., type: str, required: true}
  dashboard:
    description: Uid of one dashboard; empty for all.
    type: str
    default: ""
author: [hostpulse]
"""

EXAMPLES = r"""
- name: Read our dashboards
  hostpulse.platform.grafana_dashboards_info:
    url: http://127.0.0.1:3000/grafana
    user: admin
    password_file: /etc/hostpulse/grafana/admin_password
    folder: hostpulse
"""

RETURN = r"""
dashboards:
  description: The dashboards by uid.
  returned: success
  type: dict
"""

OF_THE_SERVER = ("id", "version", "iteration")


def read(module: AnsibleModule, client: Client) -> dict[str, Any]:
    """Return the folder's dashboards."""
    given = module.params
    listed = client.call("GET", "/search", type="dash-db", limit=5000)
    found = {}
    for one in listed:
        if one.get("folderUid") == given["folder"] and given["dashboard"] in ("", one["uid"]):
            whole = client.call("GET", f"/dashboards/uid/{named(one['uid'])}")["dashboard"]
            found[one["uid"]] = {k: v for k, v in whole.items() if k not in OF_THE_SERVER}
    if given["dashboard"] and not found:
        raise ServiceError(f"folder {given['folder']} has no dashboard {given['dashboard']}")
    return {"changed": False, "dashboards": found}


def main() -> None:
    """Run the module."""
    options = {
        "folder": {"type": "str", "required": True},
        "dashboard": {"type": "str", "default": ""},
    }
    spec = {**COMMON, **options}
    run(AnsibleModule(argument_spec=spec, supports_check_mode=True), read)


if __name__ == "__main__":
    main()
