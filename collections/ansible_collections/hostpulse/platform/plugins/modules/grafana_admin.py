"""Set the password of Grafana's administrator."""

from __future__ import annotations

import subprocess
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostpulse.platform.plugins.module_utils.grafana import (
    COMMON,
    LOCKED,
    Client,
    run,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.http_service import (
    ServiceError,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.secret_file import (
    read_secret,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.service_module import (
    outcome,
)

DOCUMENTATION = r"""
module: grafana_admin
short_description: Set the password of Grafana's administrator
description:
  - Sets the password if the administrator cannot sign in with it. The old one is not needed.
  - The password is passed to Grafana's own program on standard input only.
extends_documentation_fragment: hostpulse.platform.grafana
options:
  command:
    description:
      - Command that sets the administrator's password to what it reads, as C(grafana cli admin
        reset-admin-password --password-from-stdin) does; it runs on Grafana's own host.
    type: list
    elements: str
    required: true
author: [hostpulse]
"""

EXAMPLES = r"""
- name: Have the administrator's password be the one in the file
  hostpulse.platform.grafana_admin:
    url: http://127.0.0.1:3000/grafana
    user: admin
    password_file: /etc/hostpulse/grafana/admin_password
    command: [grafana, cli, admin, reset-admin-password, --password-from-stdin]
"""

RETURN = r""" # """


def ensure(module: AnsibleModule, client: Client) -> dict[str, Any]:
    """Have the administrator sign in with the password of the file."""
    given = module.params
    password = read_secret(given["password_file"], "the administrator's password")
    if client.signs_in(given["user"], password):
        return outcome(f"administrator {given['user']}", {}, {})
    if not module.check_mode:
        reset(given["command"], password)
        if not client.signs_in(given["user"], password):
            raise ServiceError(
                f"{given['user']} still cannot sign in: is that the first user of this Grafana (see"
                f" hostpulse_grafana_admin_user)? Or {LOCKED}"
            )
    return outcome(
        f"administrator {given['user']}", {"password": "another"}, {"password": "the one kept"}
    )


def reset(command: list[str], password: str) -> None:
    """Have the command set the password; raise with its own words where it fails."""
    done = subprocess.run(
        command,
        input=password + "\n",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stdout.replace(password, "********").strip()[-500:]
        raise ServiceError(f"the password could not be set: {said}")


def main() -> None:
    """Run the module."""
    options = {"command": {"type": "list", "elements": "str", "required": True}}
    spec = {**COMMON, **options}
    run(AnsibleModule(argument_spec=spec, supports_check_mode=True), ensure)


if __name__ == "__main__":
    main()
