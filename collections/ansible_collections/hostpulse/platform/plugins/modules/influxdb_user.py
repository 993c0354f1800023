"""Create or delete a user of InfluxDB 2 and its membership in an organization."""

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
from ansible_collections.hostpulse.platform.plugins.module_utils.secret_file import (
    read_secret,
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
module: influxdb_user
short_description: Create or delete a user of InfluxDB 2
description:
  - Creates a user who signs in by password, as a member or owner of an organization, or deletes
    the user. Other users are not changed.
  - The user becomes active last. One that is found inactive counts as half made and is finished,
    password included.
extends_documentation_fragment: hostpulse.platform.influxdb
options:
  name: {description: Name of the user., type: str, required: true}
  org:
    description: Organization to belong to. May be left out where there is only one.
    type: str
    default: ""
  role:
    description: What the user is in the organization; C(none) ends a membership.
    type: str
    choices: [member, owner, none]
    default: member
  password_file:
    description:
      - File on the host that runs the module, with the password, 8 to 72 bytes. Without it a new
        user has none and cannot sign in.
    type: path
    default: ""
  update_password:
    description: >-
      Whether the password is set for a new user only, or whenever the user cannot sign in with it.
    type: str
    choices: [on_create, always]
    default: on_create
  state:
    description: C(absent) deletes the user. The module fails for the user whose token it uses.
    type: str
    choices: [present, absent]
    default: present
author: [hostpulse]
"""

EXAMPLES = r"""
- name: Let an engineer look at the data
  hostpulse.platform.influxdb_user:
    url: http://127.0.0.1:8086
    token_file: /etc/hostpulse/influxdb/operator.token
    org: hostpulse
    name: ada
    password_file: /root/ada.password
"""

RETURN = r"""
id:
  description: Id of the user; empty if there is none (or not yet, in check mode).
  returned: success
  type: str
"""

ROLES = ("member", "owner")
ALWAYS = "always"


def ensure(module: AnsibleModule, client: Client) -> dict[str, Any]:
    """Bring the user into the wanted state."""
    given = module.params
    header = f"user {given['name']}"
    found = client.find("/users", "users", name=given["name"])
    if given["state"] == "absent":
        result = outcome(header, found and {"name": given["name"]}, None, id="")
        if found and client.call("GET", "/me")["id"] == found["id"]:
            raise ServiceError(
                f"the token in {given['token_file']} is one of user {given['name']!r} and would end"
                " with it; leave the user, or use another's token"
            )
        if found and not module.check_mode:
            client.call("DELETE", f"/users/{found['id']}")
        return result
    org = client.organization(given["org"])
    password = ""
    if given["password_file"]:
        password = read_secret(given["password_file"], "the user's password")
        module.no_log_values.add(password)
    role = role_in(client, org, found["id"]) if found else "none"
    fresh = not found or found.get("status") != "active"
    sets = bool(password and fresh)
    if password and not fresh and given["update_password"] == ALWAYS:
        sets = not client.signs_in(given["name"], password)
    before = found and {"name": found["name"], "status": found.get("status"), "role": role}
    after = {"name": given["name"], "status": "active", "role": given["role"]}
    if sets:
        before = before and {**before, "password": "another, or none"}
        after["password"] = f"the one in {given['password_file']}"
    result = outcome(header, before, after, id=(found or {}).get("id", ""))
    if result["changed"] and not module.check_mode:
        result["id"] = finish(client, org, result["id"], (role, after), password if sets else "")
    return result


def finish(
    client: Client,
    org: dict[str, Any],
    user_id: str,
    change: tuple[str, dict[str, Any]],
    password: str,
) -> str:
    """Make what is missing, the active status last; return the user's id."""
    role, after = change
    if not user_id:
        new = {"name": after["name"], "status": "inactive"}
        user_id = client.call("POST", "/users", new)["id"]
    if password:
        client.call("POST", f"/users/{user_id}/password", {"password": password})
    if role != after["role"]:
        # The server holds one role of a user in an organization and refuses a second.
        if role in ROLES:
            client.call("DELETE", f"/orgs/{org['id']}/{role}s/{user_id}")
        if after["role"] in ROLES:
            client.call("POST", f"/orgs/{org['id']}/{after['role']}s", {"id": user_id})
    client.call("PATCH", f"/users/{user_id}", {"status": "active"})
    return user_id


def role_in(client: Client, org: dict[str, Any], user_id: str) -> str:
    """Return what the user is in the organization."""
    for role in ROLES:
        users = client.call("GET", f"/orgs/{org['id']}/{role}s")["users"]
        if any(user["id"] == user_id for user in users):
            return role
    return "none"


def main() -> None:
    """Run the module."""
    options = {
        "name": {"type": "str", "required": True},
        "org": {"type": "str", "default": ""},
        "role": {"type": "str", "choices": [*ROLES, "none"], "default": "member"},
        "password_file": {"type": "path", "default": "", "no_log": False},
        "update_password": {
            "type": "str",
            "choices": ["on_create", ALWAYS],
            "default": "on_create",
            "no_log": False,
        },
        "state": STATE,
    }
    spec = {**COMMON, **options}
    run(AnsibleModule(argument_spec=spec, supports_check_mode=True), ensure, id="")


if __name__ == "__main__":
    main()
