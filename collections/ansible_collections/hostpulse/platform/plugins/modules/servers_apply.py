"""Register the servers of an inventory with a hostpulse server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: servers_apply
short_description: Register servers with a hostpulse server
description:
  - Runs on the host of a hostpulse server and registers a list of servers that may report, by
    C(hostpulse-server servers apply). Servers are added and changed; none is removed unless
    O(purge=true).
  - Keys are given as SHA-256 only; the secret stays on the host that made it.
  - Changes are in force in running services within five seconds.
  - In check mode on a host without hostpulse-server every server counts as one to add.
attributes:
  check_mode: {support: full, description: Says what would change and changes nothing.}
  diff_mode: {support: full, description: Shows settings and ids of keys, never their hashes.}
options:
  servers:
    description: Servers that may report. What an item leaves out stays as it is.
    type: list
    elements: dict
    required: true
    suboptions:
      id:
        description: Server id of lower case letters, digits, C(.), C(_), C(-); never changes.
        type: str
        required: true
      name:
        description: Name for people. A new server without one gets its id.
        type: str
      address: {description: Where people reach the host. An empty text clears it., type: str}
      labels:
        description: Labels by name; they replace all that the server has. Numbers become text.
        type: dict
      allow_from:
        description: Networks in CIDR form that the server's agent may send from; C([]) is any.
        type: list
        elements: str
      keys:
        description: Agent keys that the host made, at most two; older ones beyond two are revoked.
        type: list
        elements: dict
        suboptions:
          id: {description: Public id of the key., type: str, required: true}
          sha256: {description: SHA-256 of the whole key in hex., type: str, required: true}
  purge:
    description: Also remove servers that are not listed, and revoke keys that their item omits.
    type: bool
    default: false
  executable:
    description: The hostpulse-server program.
    type: path
    default: /opt/hostpulse/server/current/venv/bin/hostpulse-server
  config:
    description: Configuration of the server.
    type: path
    default: /etc/hostpulse/server.toml
author: [hostpulse]
"""

EXAMPLES = r"""
- name: Let two servers report
  hostpulse.platform.servers_apply:
    servers:
      - id: web-01
        address: 192.0.2.10
        labels: {env: production}
        allow_from: [192.0.2.0/24]
        keys:
          - id: 4f6x0q2m9d1s
            sha256: "{{ web_01_key.sha256 }}"
      - id: db-01
        labels: {env: production}
"""

RETURN = r"""
added: {description: Ids of new servers., returned: always, type: list, elements: str}
changed_servers:
  description: Ids of servers whose settings or keys changed.
  returned: always
  type: list
  elements: str
removed: {description: Ids of servers removed., returned: always, type: list, elements: str}
unchanged:
  description: Ids of servers that were so already.
  returned: always
  type: list
  elements: str
"""

KEY = {
    "id": {"type": "str", "required": True},
    # No secret, but of no use in a log either.
    "sha256": {"type": "str", "required": True, "no_log": True},
}
SERVER = {
    "id": {"type": "str", "required": True},
    "name": {"type": "str"},
    "address": {"type": "str"},
    "labels": {"type": "dict"},
    "allow_from": {"type": "list", "elements": "str"},
    "keys": {"type": "list", "elements": "dict", "options": KEY, "no_log": False},
}
ARGUMENTS = {
    "servers": {"type": "list", "elements": "dict", "required": True, "options": SERVER},
    "purge": {"type": "bool", "default": False},
    "executable": {
        "type": "path",
        "default": "/opt/hostpulse/server/current/venv/bin/hostpulse-server",
    },
    "config": {"type": "path", "default": "/etc/hostpulse/server.toml"},
}


def as_item(server: dict[str, Any]) -> dict[str, Any]:
    """Return what the program takes: without what was not given, label values as text."""
    item = {name: value for name, value in server.items() if value is not None}
    if item.get("address") == "":
        item["address"] = None
    if "labels" in item:
        item["labels"] = {name: as_text(value) for name, value in item["labels"].items()}
    return item


def as_text(value: Any) -> Any:
    """Return a YAML scalar as an operator reads it (C(true), not C(True)); others unchanged."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


def as_diff(entry: dict[str, Any]) -> dict[str, Any]:
    """Return one server's change in Ansible's form."""
    return {
        "before_header": entry["id"],
        "after_header": entry["id"],
        "before": entry["before"] or {},
        "after": entry["after"] or {},
    }


def apply(module: AnsibleModule, items: list[dict[str, Any]]) -> dict[str, Any]:
    """Run the program and return what it says; ends the module if that fails."""
    command = [module.params["executable"], "--config", module.params["config"]]
    command += ["servers", "apply", "-", "--json", "--diff"]
    command += ["--purge"] if module.params["purge"] else []
    command += ["--check"] if module.check_mode else []
    code, out, err = module.run_command(command, data=json.dumps(items), binary_data=True)
    if code != 0:
        reason = (err.strip().splitlines() or ["it said nothing"])[-1]
        module.fail_json(msg=f"servers apply refused the list: {reason}", rc=code)
    try:
        said: dict[str, Any] = json.loads(out)
    except ValueError:
        module.fail_json(msg=f"{command[0]} is not a hostpulse-server of this release")
    return said


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    items = [as_item(server) for server in module.params["servers"]]
    executable = Path(module.params["executable"])
    if executable.exists():
        said = apply(module, items)
    elif module.check_mode:
        added = sorted(item["id"] for item in items)
        said = {"added": added, "changed": [], "removed": [], "unchanged": [], "diff": []}
        said["is_changed"] = bool(added)
    else:
        module.fail_json(msg=f"{executable} is not there; install the hostpulse_server role first")
    result: dict[str, Any] = {
        "changed": said["is_changed"],
        "added": said["added"],
        "changed_servers": said["changed"],
        "removed": said["removed"],
        "unchanged": said["unchanged"],
    }
    if module._diff:  # noqa: SLF001 - Ansible's own name for "the user asked for a diff"
        result["diff"] = [as_diff(entry) for entry in said["diff"]]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
