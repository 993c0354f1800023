"""Verify that Grafana reaches its data source and has the dashboards."""

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
module: grafana_verify
short_description: Verify that Grafana reaches its data source and has the dashboards
description: Runs the data source's health check and looks each dashboard up. Changes nothing.
extends_documentation_fragment: hostpulse.platform.grafana
options:
  datasource: {description: Uid of the data source., type: str, required: true}
  dashboards:
    description: Uids of the dashboards.
    type: list
    elements: str
    default: []
author: [hostpulse]
"""

EXAMPLES = r"""
- name: Verify the data source of hostpulse
  hostpulse.platform.grafana_verify:
    url: http://127.0.0.1:3000/grafana
    user: admin
    password_file: /etc/hostpulse/grafana/admin_password
    datasource: hostpulse
"""

RETURN = r"""
text: {description: What was found., returned: success, type: str}
"""


def verify(module: AnsibleModule, client: Client) -> dict[str, Any]:
    """Return a summary; raise if the data source or a dashboard is missing or broken."""
    given = module.params
    health = client.call("GET", f"/datasources/uid/{named(given['datasource'])}/health")
    if health.get("status") != "OK":
        raise ServiceError(f"the data source does not work: {health.get('message')}")
    missing = [
        uid for uid in given["dashboards"] if not client.find(f"/dashboards/uid/{named(uid)}")
    ]
    if missing:
        raise ServiceError(f"Grafana has no dashboard {', '.join(missing)}")
    count = len(given["dashboards"])
    return {"changed": False, "text": f"{health.get('message')}; {count} dashboards"}


def main() -> None:
    """Run the module."""
    options = {
        "datasource": {"type": "str", "required": True},
        "dashboards": {"type": "list", "elements": "str", "default": []},
    }
    spec = {**COMMON, **options}
    run(AnsibleModule(argument_spec=spec, supports_check_mode=True), verify)


if __name__ == "__main__":
    main()
