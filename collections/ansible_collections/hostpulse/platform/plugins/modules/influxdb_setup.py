"""Set up a fresh InfluxDB 2 with an operator token of our choice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostpulse.platform.plugins.module_utils.http_service import (
    ServiceError,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.influxdb_authorizations import (
    described,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.influxdb_module import (
    COMMON,
    duration,
    run_signed_out,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.secret_file import (
    make_secret,
    read_secret,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.service_module import (
    outcome,
)

if TYPE_CHECKING:
    from ansible_collections.hostpulse.platform.plugins.module_utils.influxdb import (
        Client,
    )

DOCUMENTATION = r"""
module: influxdb_setup
short_description: Set up a fresh InfluxDB 2 with an operator token of our choice
description:
  - Creates the first user, organization, bucket and the operator token of a new server.
  - The token is in O(token_file) before it is sent, so a run that dies in between has lost nothing
    and the next one ends its work. A file that is there already is used as it is.
  - On a server that is set up already, checks that the token works. User, organization and
    bucket of such a server are managed by the other modules.
extends_documentation_fragment: hostpulse.platform.influxdb
options:
  token_file:
    description:
      - File with the operator token. Made, mode 0600, if it is not there and the server is fresh;
        its folder must exist.
  username: {description: Name of the first user., type: str, default: hostpulse}
  password_file:
    description:
      - File with that user's password, 8 to 72 bytes; made, mode 0600, if it is not there. Without
        it the user has none and nobody can sign in by password.
    type: path
    default: ""
  org: {description: First organization., type: str, required: true}
  bucket: {description: First bucket; InfluxDB insists on one., type: str, required: true}
  retention:
    description: Its retention as C(7d), seconds or C(forever).
    type: str
    default: forever
author: [hostpulse]
"""

EXAMPLES = r"""
- name: Set up the server
  hostpulse.platform.influxdb_setup:
    url: http://127.0.0.1:8086
    token_file: /etc/hostpulse/influxdb/operator.token
    org: hostpulse
    bucket: hostpulse_raw
    retention: 7d
"""

RETURN = r"""
version: {description: Version of the server., returned: success, type: str}
org_id: {description: Id of the organization., returned: when the server was set up now, type: str}
"""

OPERATOR = "hostpulse operator"


def ensure(module: AnsibleModule, client: Client) -> dict[str, Any]:
    """Set the server up, or check that the token opens it."""
    version = client.check_version()
    if not client.call("GET", "/setup")["allowed"]:
        check_token(module, client)
        return outcome(client.url, {"set_up": True}, {"set_up": True}, version=version)
    given = module.params
    after = {"set_up": True, **{name: given[name] for name in ("username", "org", "bucket")}}
    result = outcome(client.url, {"set_up": False}, after, version=version)
    document = {
        "username": given["username"],
        "org": given["org"],
        "bucket": given["bucket"],
        "retentionPeriodSeconds": duration(given["retention"], "retention"),
    }
    if not module.check_mode:
        token = make_secret(given["token_file"], "the operator token")
        module.no_log_values.add(token)
        if given["password_file"]:
            document["password"] = make_secret(given["password_file"], "the user's password")
            module.no_log_values.add(document["password"])
        client.sign_in(token)
        made = client.call("POST", "/setup", {**document, "token": client.token})
        # From here on influxdb_authorization can tell the operator token from others.
        marked = {"description": described(OPERATOR, client.token)}
        client.call("PATCH", f"/authorizations/{made['auth']['id']}", marked)
        result["org_id"] = made["org"]["id"]
    return result


def check_token(module: AnsibleModule, client: Client) -> None:
    """Raise unless the token in the file opens this server, which was set up before."""
    path = module.params["token_file"]
    if not Path(path).exists():
        raise ServiceError(
            f"{client.url} is set up already and {path} is not there. Put its operator token there"
            " (from a backup); if nobody has it, make another on the server's host, with influxd"
            " stopped, by `influxd recovery auth create-operator`"
        )
    token = read_secret(path, "the operator token")
    module.no_log_values.add(token)
    client.sign_in(token)
    try:
        client.call("GET", "/authorizations")
    except ServiceError as fault:
        raise ServiceError(
            f"{client.url} is set up already, but {fault}; if nobody has it, make another on the"
            " server's host, with influxd stopped, by `influxd recovery auth create-operator`. If"
            " this server was never in use, delete its data folder and start it again"
        ) from fault


def main() -> None:
    """Run the module."""
    options = {
        "username": {"type": "str", "default": "hostpulse"},
        "password_file": {"type": "path", "default": "", "no_log": False},
        "org": {"type": "str", "required": True},
        "bucket": {"type": "str", "required": True},
        "retention": {"type": "str", "default": "forever"},
    }
    spec = {**COMMON, **options}
    run_signed_out(AnsibleModule(argument_spec=spec, supports_check_mode=True), ensure, version="")


if __name__ == "__main__":
    main()
