"""Create, rotate and revoke tokens of InfluxDB 2, one purpose each."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostpulse.platform.plugins.module_utils.http_service import (
    NotFoundError,
    NotThereError,
    ServiceError,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.influxdb_authorizations import (
    FINGERPRINT,
    PENDING,
    described,
    mark,
    operator_permissions,
    rights,
    shown,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.influxdb_module import (
    COMMON,
    run,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.secret_file import (
    fingerprint,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.service_module import (
    STATE,
)

if TYPE_CHECKING:
    from ansible_collections.hostpulse.platform.plugins.module_utils.influxdb import (
        Client,
    )

DOCUMENTATION = r"""
module: influxdb_authorization
short_description: Create, rotate and revoke tokens of InfluxDB 2
description:
  - InfluxDB shows a token once, when it is made, and keeps a hash of it. So whoever uses the token
    keeps it, and this module knows it by its fingerprint, the SHA-256 of its text in hex, which it
    notes in the authorization's description, as C(NAME [sha256:FINGERPRINT]).
  - With C(state=present), if the fingerprint that the consumer holds belongs to an active
    authorization of this name and these permissions, nothing changes. Otherwise a new one is made
    and its token returned; older ones stay.
  - With C(state=absent), every authorization of this name ends, except for O(keep).
  - "So a rotation is: C(present) with O(rotate), distribute the token, verify that it works, then
    C(absent) with O(keep) set to the new fingerprint."
  - Until its fingerprint is noted a new authorization is called C(NAME [pending]). What a run that
    died left so is ended by the next. Do not run two at once for one name.
  - Authorizations of other names, or described otherwise, stay untouched, and so does the one
    whose token the module itself uses.
  - A result that holds a token is not shown, as with C(no_log).
extends_documentation_fragment: hostpulse.platform.influxdb
options:
  org:
    description: Organization of the buckets. May be left out where there is only one.
    type: str
    default: ""
  name:
    description: Purpose of the token, for example C(hostpulse write).
    type: str
    required: true
  read: {description: Buckets that it may read., type: list, elements: str, default: []}
  write:
    description:
      - Buckets that it may write. In InfluxDB that includes deleting points, changing the bucket's
        settings and deleting the bucket.
    type: list
    elements: str
    default: []
  operator:
    description:
      - Whether the token may do all that the operator token may, in place of O(read) and O(write).
    type: bool
    default: false
  fingerprint:
    description: Fingerprint of the token that the consumer holds; empty if it has none.
    type: str
    default: ""
  rotate:
    description: Whether to make a new one though the fingerprint is right.
    type: bool
    default: false
  keep:
    description:
      - Fingerprints that C(state=absent) keeps. If the list is not empty and no authorization of
        this name has one of them, nothing ends and the module fails, since consumers would be cut
        off.
    type: list
    elements: str
    default: []
  state:
    description: Whether there is a right token, or older ones end.
    type: str
    choices: [present, absent]
    default: present
author: [hostpulse]
"""

EXAMPLES = r"""
- name: Have a token that reads both buckets
  hostpulse.platform.influxdb_authorization:
    url: http://127.0.0.1:8086
    token_file: /etc/hostpulse/influxdb/operator.token
    org: hostpulse
    name: hostpulse query
    read: [hostpulse_raw, hostpulse_rollup]
    fingerprint: "{{ held | ansible.builtin.hash('sha256') if held else '' }}"
  no_log: true
  register: query_token

- name: End the older ones, once the new token is proved
  hostpulse.platform.influxdb_authorization:
    url: http://127.0.0.1:8086
    token_file: /etc/hostpulse/influxdb/operator.token
    org: hostpulse
    name: hostpulse query
    keep: ["{{ query_token.fingerprint }}"]
    state: absent
"""

RETURN = r"""
token:
  description: The new token, to be kept by its consumer; it cannot be had again.
  returned: when one was made
  type: str
created: {description: Whether a token was (or would be) made., returned: success, type: bool}
fingerprint:
  description: Fingerprint of the right token; empty if there is none (or not yet, in check mode).
  returned: success
  type: str
id: {description: Id of its authorization., returned: success, type: str}
older:
  description: Ids of other authorizations of this name that stay.
  returned: success
  type: list
  elements: str
ended:
  description: Ids of authorizations of this name that ended.
  returned: success
  type: list
  elements: str
"""


def ensure(module: AnsibleModule, client: Client) -> dict[str, Any]:
    """Bring the authorizations of this name into the wanted state."""
    given = module.params
    for text in [given["fingerprint"], *given["keep"]]:
        if text and not FINGERPRINT.fullmatch(text):
            module.no_log_values.add(text)  # it may be the token itself
            raise ServiceError("fingerprint, keep: give the SHA-256 of the token's text in hex")
    try:
        org = client.organization(given["org"])
    except NotThereError:
        if given["state"] == "present":
            raise
        return report(given["name"], [], [], [])
    every = client.call("GET", "/authorizations", orgID=org["id"])["authorizations"]
    ours = [one for one in every if mark(one, given["name"])]
    if given["state"] == "absent":
        return end_older(module, client, ours)
    return have_right(module, client, ours, wanted(client, org, given, every))


def have_right(
    module: AnsibleModule,
    client: Client,
    ours: list[dict[str, Any]],
    document: dict[str, Any],
) -> dict[str, Any]:
    """Make an authorization unless the consumer's is right; end what a dead run left."""
    given = module.params
    name = given["name"]
    left = [one for one in ours if mark(one, name) == PENDING]
    whole = [one for one in ours if one not in left]
    right = [
        one
        for one in whole
        if mark(one, name) == given["fingerprint"]
        and one["status"] == "active"
        and rights(one) == rights(document)
    ]
    made = [] if right and not given["rotate"] else [document]
    older = [one for one in whole if made or one not in right]
    result = report(name, ours, [*whole, *made], left, older=older, created=bool(made))
    if right and not made:
        result.update(id=right[0]["id"], fingerprint=given["fingerprint"])
    if module.check_mode:
        return result
    if made:
        result.update(make(client, document, name))
    end(client, left)
    return result


def make(client: Client, document: dict[str, Any], name: str) -> dict[str, str]:
    """Make an authorization and note its fingerprint; return it with its token."""
    new = client.call("POST", "/authorizations", document)
    path = f"/authorizations/{new['id']}"
    try:
        client.call("PATCH", path, {"description": described(name, new["token"])})
    except ServiceError:
        # Nobody will ever hold this token. If it cannot be ended now, the next run does it.
        with suppress(ServiceError):
            client.call("DELETE", path)
        raise
    return {"id": new["id"], "token": new["token"], "fingerprint": fingerprint(new["token"])}


def end_older(module: AnsibleModule, client: Client, ours: list[dict[str, Any]]) -> dict[str, Any]:
    """End all authorizations but those to keep."""
    given = module.params
    name, keep = given["name"], set(given["keep"])
    kept = [one for one in ours if mark(one, name) in keep]
    if ours and keep and not kept:
        text = (
            f"none of the authorizations {name!r} has a fingerprint of keep, so its consumers would"
            " be cut off; run state=present with the consumer's fingerprint first, or keep: [] to"
            " end all"
        )
        if not module.check_mode:
            raise ServiceError(text)
        module.warn(text)
        kept = ours
    used = fingerprint(client.token)
    gone = [one for one in ours if one not in kept and mark(one, name) != used]
    stay = [one for one in ours if one not in gone]
    if not module.check_mode:
        end(client, gone)
    return report(name, ours, stay, gone, older=stay)


def end(client: Client, authorizations: list[dict[str, Any]]) -> None:
    """End these; one that another has ended meanwhile is as good."""
    for one in authorizations:
        with suppress(NotFoundError):
            client.call("DELETE", f"/authorizations/{one['id']}")


def wanted(
    client: Client, org: dict[str, Any], given: dict[str, Any], every: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the authorization that the consumer needs, as the server takes it."""
    if given["operator"]:
        if given["read"] or given["write"]:
            raise ServiceError("operator: such a token may do all; leave read and write out")
        permissions = operator_permissions(every)
    else:
        ids = {
            name: client.bucket(org, name)["id"]
            for name in sorted({*given["read"], *given["write"]})
        }
        permissions = [
            {"action": action, "resource": {"type": "buckets", "id": ids[name], "orgID": org["id"]}}
            for action in ("read", "write")
            for name in sorted(set(given[action]))
        ]
    if not permissions:
        raise ServiceError("read, write: name at least one bucket")
    description = f"{given['name']} [{PENDING}]"
    return {"orgID": org["id"], "description": description, "permissions": permissions}


def report(
    name: str,
    before: list[dict[str, Any]],
    after: list[dict[str, Any]],
    ended: list[dict[str, Any]],
    *,
    older: list[dict[str, Any]] | None = None,
    created: bool = False,
) -> dict[str, Any]:
    """Return the module's result, with authorizations as people read them in the diff."""
    header = f"authorizations {name}"
    return {
        "changed": created or bool(ended),
        "created": created,
        "fingerprint": "",
        "id": "",
        "older": [one["id"] for one in older or []],
        "ended": [one["id"] for one in ended],
        "diff": {
            "before_header": header,
            "after_header": header,
            "before": [shown(one) for one in before],
            "after": [shown(one) for one in after if one not in ended],
        },
    }


def main() -> None:
    """Run the module."""
    texts = {"type": "list", "elements": "str", "default": []}
    options = {
        "org": {"type": "str", "default": ""},
        "name": {"type": "str", "required": True},
        "read": texts,
        "write": texts,
        "operator": {"type": "bool", "default": False},
        "fingerprint": {"type": "str", "default": ""},
        "rotate": {"type": "bool", "default": False},
        "keep": texts,
        "state": STATE,
    }
    module = AnsibleModule(argument_spec={**COMMON, **options}, supports_check_mode=True)
    name, present = module.params["name"], module.params["state"] == "present"
    run(module, ensure, **report(name, [], [], [], created=present))


if __name__ == "__main__":
    main()
