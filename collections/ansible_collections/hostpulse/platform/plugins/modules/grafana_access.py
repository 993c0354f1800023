"""Manage users and teams of Grafana, and the permissions on a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostpulse.platform.plugins.module_utils.grafana import (
    COMMON,
    run,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.grafana_people import (
    Access,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.service_module import (
    outcome,
)

if TYPE_CHECKING:
    from ansible_collections.hostpulse.platform.plugins.module_utils.grafana import (
        Client,
    )

DOCUMENTATION = r"""
module: grafana_access
short_description: Manage users and teams of Grafana, and the permissions on a folder
description:
  - Creates and updates the users and teams that are named, and sets exactly the named permissions
    on a folder. Users, teams and folders that are not named are not changed.
extends_documentation_fragment: hostpulse.platform.grafana
options:
  users:
    description:
      - Users by C(login), with C(role) (viewer, editor or admin), C(name), C(email), C(password)
        and C(state) (present or absent). A password is set whenever the user cannot sign in with
        it. Users are created with an administrator's password only; with a token they have to
        exist.
    type: list
    elements: dict
    default: []
  teams:
    description:
      - Teams by C(name), with C(email), C(members) (exactly these logins; not changed if omitted)
        and C(state).
    type: list
    elements: dict
    default: []
  folder: {description: Uid of the folder; empty for none., type: str, default: ""}
  permissions:
    description:
      - Permissions on the folder, each with one of C(role) (viewer or editor), C(team) and C(user),
        and with C(permission) (view, edit or admin). Administrators have all permissions anyway.
    type: list
    elements: dict
    default: []
author: [hostpulse]
"""

EXAMPLES = r"""
- name: Let a team look
  hostpulse.platform.grafana_access:
    url: http://127.0.0.1:3000/grafana
    user: admin
    password_file: /etc/hostpulse/grafana/admin_password
    users: [{login: ada, role: viewer, password: "{{ vault_ada }}"}]
    teams: [{name: operations, members: [ada]}]
    folder: hostpulse
    permissions: [{team: operations, permission: view}]
  no_log: true
"""

RETURN = r""" # """


def ensure(module: AnsibleModule, client: Client) -> dict[str, Any]:
    """Bring users, teams and the folder's permissions into the wanted state."""
    given = module.params
    for one in given["users"]:
        if one.get("password"):
            module.no_log_values.add(str(one["password"]))
    access = Access(client, dry=module.check_mode)
    access.check(given["users"])
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for one in given["users"]:
        before[f"user {one['login']}"], after[f"user {one['login']}"] = access.user(one)
    for one in given["teams"]:
        before[f"team {one['name']}"], after[f"team {one['name']}"] = access.team(one)
    if given["folder"]:
        changes = access.permissions(given["folder"], given["permissions"])
        before[f"folder {given['folder']}"], after[f"folder {given['folder']}"] = changes
    return outcome("access to Grafana", before, after)


def main() -> None:
    """Run the module."""
    options = {
        "users": {"type": "list", "elements": "dict", "default": [], "no_log": False},
        "teams": {"type": "list", "elements": "dict", "default": []},
        "folder": {"type": "str", "default": ""},
        "permissions": {"type": "list", "elements": "dict", "default": []},
    }
    spec = {**COMMON, **options}
    run(AnsibleModule(argument_spec=spec, supports_check_mode=True), ensure)


if __name__ == "__main__":
    main()
