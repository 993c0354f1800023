"""Manage our folder, data source and dashboards in an external Grafana."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostpulse.platform.plugins.module_utils.grafana import (
    COMMON,
    named,
    run,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.http_service import (
    NotThereError,
    ServiceError,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.secret_file import (
    fingerprint,
    read_secret,
)
from ansible_collections.hostpulse.platform.plugins.module_utils.service_module import (
    outcome,
)

if TYPE_CHECKING:
    from ansible_collections.hostpulse.platform.plugins.module_utils.grafana import (
        Client,
    )

DOCUMENTATION = r"""
module: grafana_folder
short_description: Manage our folder, data source and dashboards in an external Grafana
description:
  - Creates a folder, a data source and the dashboards in the folder, and removes dashboards of the
    folder that this module wrote before and that are not in O(dashboards). Nothing else is changed,
    whatever its tags.
  - A dashboard counts as written by this module if the message of one of its versions says so. If
    a user saved it so often that Grafana has dropped all of those versions, it stays.
  - If another folder or dashboard has the title of ours, the module fails and changes nothing.
  - Grafana never returns a secret. A fingerprint in the data source's settings identifies the
    secrets that were last set.
extends_documentation_fragment: hostpulse.platform.grafana
options:
  uid: {description: Uid of the folder., type: str, required: true}
  title: {description: Title of the folder., type: str, required: true}
  tag:
    description: Tag of our dashboards; dashboards without it are ignored.
    type: str
    required: true
  dashboards:
    description: The dashboards, each as Grafana exports one.
    type: list
    elements: dict
    default: []
  datasource:
    description: The data source in the form of Grafana's HTTP API, without its secrets.
    type: dict
    required: true
  secret_files:
    description: Files on the host that runs the module, by the name of the secret that each holds.
    type: dict
    default: {}
author: [hostpulse]
"""

EXAMPLES = r"""
- name: Have our folder in the operations team's Grafana
  hostpulse.platform.grafana_folder:
    url: https://grafana.example.org
    token_file: /run/hostpulse-grafana.token
    uid: hostpulse
    title: hostpulse
    tag: hostpulse
    dashboards: "{{ dashboards }}"
    datasource: {uid: hostpulse, name: hostpulse, type: influxdb, url: "https://store:8086"}
    secret_files: {token: /etc/hostpulse/influxdb_grafana_token}
"""

RETURN = r""" # """

FINGERPRINT = "hostpulseSecrets"
NOTE = re.compile("hostpulse [0-9a-f]{16}")  # see note()
KINDS = {"dash-folder": "folder", "dash-db": "dashboard"}  # as a search names them
MOST_VERSIONS = 1000  # Grafana keeps 20 of a dashboard, unless it is told otherwise


def ensure(module: AnsibleModule, client: Client) -> dict[str, Any]:
    """Bring folder, data source and dashboards into the wanted state."""
    given = module.params
    folder = client.find(f"/folders/{named(given['uid'])}")
    before: dict[str, Any] = {"folder": folder and folder["title"]}
    after: dict[str, Any] = {"folder": given["title"]}
    dry = module.check_mode
    listed = client.call("GET", "/search", type="dash-db", limit=5000) if folder else ()
    inside = [one for one in listed if one.get("folderUid") == given["uid"]]
    found = dashboards_there(client, given, inside)
    refuse_namesakes(client, given, inside, found)
    if before != after and not dry:
        write_folder(client, given, there=bool(folder))
    before["data source"], after["data source"] = datasource(module, client)
    wanted = {one["uid"]: note(one) for one in given["dashboards"]}
    for uid in sorted(found.keys() | wanted.keys()):
        before[f"dashboard {uid}"], after[f"dashboard {uid}"] = found.get(uid), wanted.get(uid)
    if not dry:
        write_dashboards(client, given, found)
    return outcome(f"folder {given['uid']}", before, after)


def write_folder(client: Client, given: dict[str, Any], *, there: bool) -> None:
    """Make the folder, or give it its title."""
    document = {"title": given["title"], "overwrite": True}
    try:
        if there:
            client.call("PUT", f"/folders/{named(given['uid'])}", document)
        else:
            client.call("POST", "/folders", {"uid": given["uid"], **document})
    except ServiceError as fault:
        # Some releases allow two folders of one title, so it is looked for only now.
        listed = client.call("GET", "/search", query=given["title"], limit=5000)
        for one in listed:
            if one["title"].lower() == given["title"].lower() and one["uid"] != given["uid"]:
                raise ServiceError(
                    f"{client.url} has a {KINDS.get(one['type'], 'thing')} {one['title']!r} of"
                    f" somebody else's (uid {one['uid']}) where our folder of that title is to be;"
                    " rename that one in Grafana, and run this again"
                ) from fault
        raise


def refuse_namesakes(
    client: Client, given: dict[str, Any], inside: list[dict[str, Any]], found: dict[str, str]
) -> None:
    """Refuse to write a dashboard where the folder has one of somebody else's with its title.

    Grafana would take ours for another version of theirs.
    """
    titles = {one["title"].lower() for one in given["dashboards"]}
    ours = {one["uid"] for one in given["dashboards"]} | found.keys()
    for one in inside:
        if one["uid"] not in ours and one["title"].lower() in titles:
            raise ServiceError(
                f"{client.url} has in the folder {given['title']} a dashboard {one['title']!r} of"
                f" somebody else's (uid {one['uid']}), and one of ours has that title; rename that"
                " one in Grafana, or move it elsewhere, and run this again"
            )


def datasource(
    module: AnsibleModule, client: Client
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Bring the data source into the wanted state; return what was and what is."""
    given = module.params
    try:
        secrets = {
            name: Path(path).read_text("utf-8")
            if path.endswith(".pem")
            else read_secret(path, name)
            for name, path in given["secret_files"].items()
        }
    except FileNotFoundError as fault:
        raise NotThereError(f"{fault}; it comes from InfluxDB's host") from fault
    module.no_log_values.update(secrets.values())
    wanted = dict(given["datasource"])
    mark = fingerprint("\n".join(f"{name} {secrets[name]}" for name in sorted(secrets)))
    wanted["jsonData"] = {**wanted.get("jsonData", {}), FINGERPRINT: mark}
    path = f"/datasources/uid/{named(wanted['uid'])}"
    found = client.find(path)
    before = found and {key: found.get(key) for key in wanted}
    if before != wanted and not module.check_mode:
        document = {**wanted, "secureJsonData": secrets}
        if found:
            client.call("PUT", path, document)
        else:
            client.call("POST", "/datasources", document)
    return before, wanted


def dashboards_there(
    client: Client, given: dict[str, Any], inside: list[dict[str, Any]]
) -> dict[str, str]:
    """Return what those dashboards inside the folder that are ours were last saved as, by uid.

    A tag makes no dashboard ours: people give theirs the same one, or save ours as a copy. Ours are
    those that are wanted, and those of which a version has a message by this module.
    """
    wanted = {one["uid"] for one in given["dashboards"]}
    found = {}
    for one in inside:
        if given["tag"] in one["tags"]:
            path = f"/dashboards/uid/{named(one['uid'])}/versions"
            answer = client.call("GET", path, limit=MOST_VERSIONS)
            # A list up to Grafana 10, later an object that holds one.
            versions = answer if isinstance(answer, list) else answer["versions"]
            messages = [str(version.get("message") or "") for version in versions]
            if one["uid"] in wanted or any(map(NOTE.fullmatch, messages)):
                found[one["uid"]] = messages[0] if messages else ""
    return found


def note(dashboard: dict[str, Any]) -> str:
    """Return the message that a dashboard is saved with.

    A server writes dashboards anew in its own way, so they are not compared. The message of its
    last version tells what it was made from, and whether somebody has changed it since.
    """
    return f"hostpulse {fingerprint(json.dumps(dashboard, sort_keys=True))[:16]}"


def write_dashboards(client: Client, given: dict[str, Any], found: dict[str, str]) -> None:
    """Write the dashboards that differ, and remove those that are ours no more."""
    wanted = {one["uid"]: one for one in given["dashboards"]}
    # First, for one of them may have the title of another that comes.
    for uid in found.keys() - wanted.keys():
        client.call("DELETE", f"/dashboards/uid/{named(uid)}")
    for uid, dashboard in wanted.items():
        if found.get(uid) != note(dashboard):
            whole = {
                "dashboard": {**dashboard, "id": None},
                "folderUid": given["uid"],
                "message": note(dashboard),
                "overwrite": True,
            }
            # A new one's first version has a message of the server's own: it is saved twice.
            for _ in range(1 if uid in found else 2):
                client.call("POST", "/dashboards/db", whole)


def main() -> None:
    """Run the module."""
    options = {
        "uid": {"type": "str", "required": True},
        "title": {"type": "str", "required": True},
        "tag": {"type": "str", "required": True},
        "dashboards": {"type": "list", "elements": "dict", "default": []},
        "datasource": {"type": "dict", "required": True},
        "secret_files": {"type": "dict", "default": {}, "no_log": False},
    }
    spec = {**COMMON, **options}
    run(AnsibleModule(argument_spec=spec, supports_check_mode=True), ensure)


if __name__ == "__main__":
    main()
