"""Verify through the public API that servers deliver fresh samples."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.parse
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import Request

DOCUMENTATION = r"""
module: samples_verify
short_description: Verify that servers deliver fresh samples
description:
  - Queries a hostpulse server through its public address until every expected server has a sample
    that arrived after the module started and that the query API returns.
  - Changes nothing and never fails for a silent server; the caller decides by C(stale).
options:
  url: {description: Public address of the hostpulse server., type: str, required: true}
  key_file: {description: File on this host that holds a reader key., type: path, required: true}
  ca_file:
    description: CA certificates to trust; empty for the host's own.
    type: path
    default: ""
  servers:
    description: Ids that must deliver.
    type: list
    elements: str
    required: true
  known:
    description: All ids of the inventory, so that others can be listed.
    type: list
    elements: str
    default: []
  timeout: {description: Seconds to wait for fresh samples., type: int, default: 120}
author: [hostpulse]
"""

EXAMPLES = r"""
- name: Verify that web-01 delivers fresh samples
  hostpulse.platform.samples_verify:
    url: https://monitor:8443
    key_file: /etc/hostpulse/verify.key
    ca_file: /etc/hostpulse/ca/ca.pem
    servers: [web-01]
"""

RETURN = r"""
fresh: {description: Ids with a fresh sample., returned: always, type: list, elements: str}
stale: {description: What is known of each silent id., returned: always, type: dict}
unknown:
  description: Registered ids outside C(known).
  returned: always
  type: list
  elements: str
report: {description: A line on each id., returned: always, type: list, elements: str}
"""

POLL_S = 1.0
REQUEST_S = 15
# Up to this many ids are named in a query; with more, all servers are read at once.
NAMED_IDS = 50
# A window of the query API that began before the start may hold a sample taken after it.
LOOK_BACK_MS = 120_000


class Api:
    """A reader of the server's API; errors are ``OSError`` or ``ValueError``."""

    def __init__(self, url: str, key: str, ca_file: str) -> None:
        self._url = url.rstrip("/") + "/api/v1"
        self._request = Request(
            headers={"Authorization": f"Bearer {key}"},
            timeout=REQUEST_S,
            use_netrc=False,
            # Ansible's own context also trusts authorities outside the host's store.
            context=ssl.create_default_context(cafile=ca_file or None),
        )

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the parsed answer to a GET of ``path``."""
        query = urllib.parse.urlencode(parameters, doseq=True)
        with self._request.open("GET", f"{self._url}{path}?{query}") as answer:
            return json.load(answer)

    def servers(self) -> dict[str, Any]:
        """Return every registered server by id."""
        found: dict[str, Any] = {}
        parameters: dict[str, Any] = {}
        while True:
            page = self.get("/servers", limit=500, **parameters)
            found.update((server["id"], server) for server in page["servers"])
            if not page.get("next"):
                return found
            parameters = {"cursor": page["next"]}

    def readable(self, ids: set[str], since_ms: int) -> set[str]:
        """Return those of ``ids`` that show a point in a window ending after ``since_ms``."""
        named = {"server_id": sorted(ids)} if len(ids) <= NAMED_IDS else {}
        answer = self.get(
            "/metrics",
            measurement="system",
            field="load1",
            start=since_ms - LOOK_BACK_MS,
            **named,
        )
        return {
            series["server_id"]
            for series in answer["series"]
            if any(point[0] + answer["step_ms"] > since_ms for point in series["points"])
        }


def fresh_ids(api: Api, expected: set[str], since_ms: int) -> tuple[set[str], dict[str, Any]]:
    """Return (ids with a fresh, readable sample, registered servers by id)."""
    registered = api.servers()
    arrived = {
        name for name in expected if (registered.get(name, {}).get("last_seen") or 0) > since_ms
    }
    return (arrived & api.readable(arrived, since_ms) if arrived else arrived), registered


def describe(server: dict[str, Any] | None, error: str) -> str:
    """Say what is known of a server that is silent."""
    if server is None:
        return f"unknown, the API did not answer: {error}" if error else "not registered"
    last = server.get("last_seen")
    ago = f"last sample {int(time.time() - last / 1000)} s ago" if last else "no sample ever"
    return f"{server.get('status', 'unknown')}, {ago}"


def verify(api: Api, expected: set[str], timeout_s: float) -> tuple[set[str], dict[str, Any], str]:
    """Poll until all of ``expected`` are fresh or time is up; return (fresh, registered, error)."""
    since_ms = int(time.time() * 1000)
    deadline = time.monotonic() + timeout_s
    fresh: set[str] = set()
    registered: dict[str, Any] = {}
    while True:
        try:
            found, registered = fresh_ids(api, expected - fresh, since_ms)
            fresh |= found
            error = ""
        except urllib.error.HTTPError as answer:
            error = f"HTTP {answer.code} {answer.reason}"
            answer.close()
        except (OSError, ValueError) as fault:
            error = str(fault)
        if fresh == expected or time.monotonic() >= deadline:
            return fresh, registered, error
        time.sleep(POLL_S)


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "key_file": {"type": "path", "required": True, "no_log": False},
            "ca_file": {"type": "path", "default": ""},
            "servers": {"type": "list", "elements": "str", "required": True},
            "known": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        key = Path(given["key_file"]).read_text(encoding="ascii").strip()
        api = Api(given["url"], key, given["ca_file"])
    except (OSError, ValueError) as fault:
        module.fail_json(msg=f"cannot read the server: {fault}; run site.yml for the server first")
    expected = set(given["servers"])
    fresh, registered, error = verify(api, expected, given["timeout"])
    if error and not registered:
        module.fail_json(
            msg=f"{given['url']} did not answer a reader: {error}. On the server's host look at"
            " `systemctl status nginx hostpulse-api hostpulse-shipper`."
        )
    stale = {name: describe(registered.get(name), error) for name in sorted(expected - fresh)}
    unknown = sorted(set(registered) - set(given["known"]) - expected) if given["known"] else []
    report = [f"{name}: fresh" for name in sorted(fresh)]
    report += [f"{name}: SILENT: {found}" for name, found in stale.items()]
    report += [f"{name}: registered, but not in this inventory" for name in unknown]
    module.exit_json(
        changed=False, fresh=sorted(fresh), stale=stale, unknown=unknown, report=report
    )


if __name__ == "__main__":
    main()
