"""Create, update or delete a bucket of InfluxDB 2."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostpulse.platform.plugins.module_utils.http_service import (
    NotThereError,
    ServiceError,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.influxdb_module import (
    COMMON,
    default_shard_group,
    duration,
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
module: influxdb_bucket
short_description: Create, update or delete a bucket of InfluxDB 2
description:
  - Creates a bucket with its retention and shard group duration, updates them, or deletes the
    bucket with its data. Other buckets are not changed.
  - A shorter retention makes InfluxDB delete data at its next check. The module warns of it, and
    the diff shows how old the oldest point is.
extends_documentation_fragment: hostpulse.platform.influxdb
options:
  org:
    description: Organization of the bucket. May be left out where there is only one.
    type: str
    default: ""
  name: {description: Name of the bucket., type: str, required: true}
  retention:
    description:
      - How long points are kept, as C(7d), C(12h), seconds, or C(forever) (also C(0)); at least an
        hour. Left out it stays as it is, forever for a new bucket.
    type: str
    aliases: [retention_seconds]
  shard_group:
    description:
      - Span of time of one shard group, written as O(retention) is; no longer than that. InfluxDB
        deletes whole groups. Left out it is what InfluxDB chooses by the retention; one that
        somebody chose otherwise stays where it fits.
    type: str
    aliases: [shard_group_seconds]
  description: {description: Text for people. Left out it stays as it is., type: str}
  state:
    description: C(absent) deletes the bucket and its data.
    type: str
    choices: [present, absent]
    default: present
author: [hostpulse]
"""

EXAMPLES = r"""
- name: Keep raw samples for a week
  hostpulse.platform.influxdb_bucket:
    url: http://127.0.0.1:8086
    token_file: /etc/hostpulse/influxdb/operator.token
    org: hostpulse
    name: hostpulse_raw
    retention: 7d
    shard_group: 1d
"""

RETURN = r"""
id:
  description: Id of the bucket; empty if it is not there (or not yet, in check mode).
  returned: success
  type: str
oldest_point:
  description: Time of the oldest point that the new retention no longer keeps; empty for none.
  returned: when the retention gets shorter
  type: str
"""

FIRST_DELETED = """
from(bucketID: "{id}")
  |> range(start: 0, stop: -{retention}s)
  |> first()
  |> keep(columns: ["_time"])
  |> group()
  |> sort(columns: ["_time"])
  |> limit(n: 1)
"""


def ensure(module: AnsibleModule, client: Client) -> dict[str, Any]:
    """Bring the bucket into the wanted state."""
    given = module.params
    try:
        org = client.organization(given["org"])
    except NotThereError:
        if given["state"] == "present":
            raise
        return outcome(given["name"], None, None, id="")
    found = client.find("/buckets", "buckets", orgID=org["id"], name=given["name"])
    if found and found.get("type") == "system":
        raise ServiceError(f"{given['name']!r} is a bucket of InfluxDB itself; leave it alone")
    before = found and settings(found)
    after = wanted(given, before) if given["state"] == "present" else None
    result = outcome(f"bucket {given['name']}", before, after, id=(found or {}).get("id", ""))
    if found and before and after and shrinks(before, after):
        oldest = oldest_deleted(client, found, after["retention_seconds"])
        result["oldest_point"] = oldest
        result["diff"]["before"] = {**before, "oldest_point": oldest or "within the new retention"}
        if oldest:
            module.warn(
                f"bucket {given['name']!r} has points from {oldest} on; InfluxDB deletes those"
                f" older than {after['retention_seconds']} s"
            )
    if result["changed"] and not module.check_mode:
        result["id"] = change(client, org, found, after)
    return result


def settings(bucket: dict[str, Any]) -> dict[str, Any]:
    """Return of the server's bucket what this module sets."""
    rule = (bucket["retentionRules"] or [{}])[0]
    retention = rule.get("everySeconds", 0)
    return {
        "name": bucket["name"],
        "description": bucket.get("description", ""),
        "retention_seconds": retention,
        "shard_group_seconds": rule.get("shardGroupDurationSeconds", 0)
        or default_shard_group(retention),
    }


def wanted(given: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """Return the settings that the bucket shall have."""
    after = {"name": given["name"], "description": "", "retention_seconds": 0, **(before or {})}
    if given["description"] is not None:
        after["description"] = given["description"]
    if given["retention"] is not None:
        after["retention_seconds"] = duration(given["retention"], "retention")
    longest = after["retention_seconds"]
    if given["shard_group"] is not None:
        after["shard_group_seconds"] = duration(given["shard_group"], "shard_group")
    elif not before or not chosen(before) or 0 < longest < before["shard_group_seconds"]:
        after["shard_group_seconds"] = default_shard_group(longest)
    shard = after["shard_group_seconds"]
    hour = duration("1h", "")
    if shard < hour or 0 < longest < shard:
        raise ServiceError(
            f"retention {longest} s and shard_group {shard} s: give at least an hour each, and a"
            " shard group no longer than the retention"
        )
    return after


def chosen(before: dict[str, Any]) -> bool:
    """Tell whether somebody gave the shard group another duration than InfluxDB does."""
    default = default_shard_group(before["retention_seconds"])
    return bool(before["shard_group_seconds"] != default)


def shrinks(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Tell whether points may be deleted that were kept so far."""
    old, new = before["retention_seconds"], after["retention_seconds"]
    return bool(new and (not old or new < old))


def oldest_deleted(client: Client, bucket: dict[str, Any], retention: int) -> str:
    """Return the time of the oldest point beyond the retention, or nothing."""
    flux = FIRST_DELETED.format(id=bucket["id"], retention=retention)
    answer = client.call("POST", "/query", {"query": flux, "type": "flux"}, orgID=bucket["orgID"])
    rows = [row for row in csv.reader((answer or "").splitlines()) if row]
    return rows[1][-1] if len(rows) > 1 else ""


def change(
    client: Client,
    org: dict[str, Any],
    found: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> str:
    """Make, change or end the bucket; return its id."""
    if after is None:
        client.call("DELETE", f"/buckets/{(found or {})['id']}")
        return ""
    rule = {
        "type": "expire",
        "everySeconds": after["retention_seconds"],
        "shardGroupDurationSeconds": after["shard_group_seconds"],
    }
    document = {
        "name": after["name"],
        "description": after["description"],
        "retentionRules": [rule],
    }
    if found is None:
        return str(client.call("POST", "/buckets", {**document, "orgID": org["id"]})["id"])
    client.call("PATCH", f"/buckets/{found['id']}", document)
    return str(found["id"])


def main() -> None:
    """Run the module."""
    options = {
        "org": {"type": "str", "default": ""},
        "name": {"type": "str", "required": True},
        "retention": {"type": "str", "aliases": ["retention_seconds"]},
        "shard_group": {"type": "str", "aliases": ["shard_group_seconds"]},
        "description": {"type": "str"},
        "state": STATE,
    }
    spec = {**COMMON, **options}
    run(AnsibleModule(argument_spec=spec, supports_check_mode=True), ensure, id="")


if __name__ == "__main__":
    main()
