"""Provisioning files of alerting: what such a file may have, and what it changes.

Stricter than Grafana, which passes over what it does not know: a key that the documentation of file
provisioning does not name is refused, and so is a reference to what is nowhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.servers.grafana_api import folders, rule_files
from tests.servers.grafana_api.api import ORGANIZATION, now
from tests.servers.grafana_api.file_checks import DURATION, FileError, need

if TYPE_CHECKING:
    from tests.servers.grafana_api.state import State

ROOT = {
    "receiver": "grafana-default-email",
    "group_by": ["grafana_folder", "alertname"],
}
DEFAULT_POINT = {
    "uid": "", "name": ROOT["receiver"], "type": "email",
    "settings": {"addresses": "<example@email.com>"}, "disableResolveMessage": False,
    "provenance": "",
}  # fmt: skip
LISTS = {
    *("groups", "contactPoints", "policies", "templates", "muteTimes", "resetPolicies"),
    *("deleteRules", "deleteContactPoints", "deleteTemplates", "deleteMuteTimes"),
}
POLICY = {
    *("orgId", "receiver", "group_by", "matchers", "object_matchers", "mute_time_intervals"),
    *("group_wait", "group_interval", "repeat_interval", "routes", "continue"),
}
RECEIVER = {"uid", "type", "settings", "disableResolveMessage", "secureSettings"}
# Of each type of contact point: one of these settings is needed, and these there are beside them.
SETTINGS_NEEDED = {"slack": ("url", "token"), "email": ("addresses",), "webhook": ("url",)}
SETTINGS = {
    "slack": {
        *("recipient", "username", "icon_emoji", "icon_url", "mentionChannel", "mentionUsers"),
        *("mentionGroups", "endpointUrl", "title", "text"),
    },
    "email": {"singleEmail", "subject", "message"},
    "webhook": {
        *("httpMethod", "username", "password", "authorization_scheme", "maxAlerts"),
        *("authorization_credentials", "title", "message"),
    },
}
_USED = re.compile(r'{{-?\s*template\s+"([^"]+)"')
_DEFINED = re.compile(r'{{-?\s*define\s+"([^"]+)"')


def apply(state: State, documents: dict[str, dict[str, Any]]) -> None:
    """Bring what is kept into the state that the files have; refuse what cannot be, before."""
    for name, document in documents.items():
        need(name, document, {"apiVersion", *LISTS}, {"apiVersion"})
    merged = {key: [one for document in documents.values() for one in document.get(key) or []]
              for key in LISTS}  # fmt: skip
    with state.lock:
        for group in merged["groups"]:
            rule_files.check_group(state, group)
        for group in merged["groups"]:
            _write_group(state, group)
        _remove(state, merged)
        for point in merged["contactPoints"]:
            need("contactPoints", point, {"orgId", "name", "receivers"}, {"name", "receivers"})
            for one in point["receivers"]:
                _write_receiver(state, point["name"], one)
        for kind, key, needed in (
            ("template", "templates", "template"), ("mute_timing", "muteTimes", "time_intervals")
        ):  # fmt: skip
            for one in merged[key]:
                need(key, one, {"orgId", "name", needed}, {"name", needed})
                kept = {"name": one["name"], needed: one[needed], "provenance": "file"}
                state.put(kind, one["name"], kept)
        for one in merged["policies"]:
            check_policy(state, one)
            kept = {key: value for key, value in one.items() if key != "orgId"}
            state.put("policy", str(ORGANIZATION), {**kept, "provenance": "file"})
        _check_templates(state)


def _remove(state: State, merged: dict[str, list[Any]]) -> None:
    for key in ("Rules", "ContactPoints", "Templates", "MuteTimes"):
        for one in merged[f"delete{key}"]:
            what = "uid" if key in ("Rules", "ContactPoints") else "name"
            need(f"delete{key}", one, {"orgId", what}, {what})
    for one in merged["deleteRules"]:
        state.delete("alert_rule", one["uid"])
    if merged["resetPolicies"]:
        state.delete("policy", str(ORGANIZATION))
    for one in merged["deleteContactPoints"]:
        point = state.find("contact_point", one["uid"])
        if point and point["name"] in _receivers(state) and not merged["policies"]:
            raise FileError(f"contact point {point['name']} is used by a policy")
        state.delete("contact_point", one["uid"])
    for one in merged["deleteTemplates"]:
        state.delete("template", one["name"])
    for one in merged["deleteMuteTimes"]:
        if one["name"] in _walk(policy(state), "mute_time_intervals"):
            raise FileError(f"mute timing {one['name']} is used by a policy")
        state.delete("mute_timing", one["name"])


def policy(state: State) -> dict[str, Any]:
    """Return the notification policy."""
    kept = state.find("policy", str(ORGANIZATION))
    if kept is None:
        return dict(ROOT)
    return {key: value for key, value in kept.items() if key not in ("id", "key")}


def _receivers(state: State) -> set[str]:
    found = policy(state)
    return {found["receiver"], *_walk(found, "receiver")}


def _walk(route: dict[str, Any], key: str) -> set[str]:
    """Return what a policy and those below it have under a key."""
    own = route.get(key) or []
    found = {own} if isinstance(own, str) else set(own)
    for below in route.get("routes") or []:
        found |= _walk(below, key)
    return found


def check_policy(state: State, given: dict[str, Any], *, root: bool = True) -> None:
    """Refuse a policy whose contact point or mute timing is nowhere."""
    need("policies", given, POLICY, {"receiver"} if root else ())
    points = {one["name"] for one in state.all("contact_point")} | {ROOT["receiver"]}
    if given.get("receiver", ROOT["receiver"]) not in points:
        raise FileError(f"policies: there is no contact point {given['receiver']!r}")
    timings = {one["name"] for one in state.all("mute_timing")}
    for name in set(given.get("mute_time_intervals") or ()) - timings:
        raise FileError(f"policies: there is no mute timing {name!r}")
    for key in ("group_wait", "group_interval", "repeat_interval"):
        if key in given and not DURATION.fullmatch(str(given[key])):
            raise FileError(f"policies: {key} is {given[key]!r}, no duration")
    for matcher in given.get("object_matchers") or []:
        if len(matcher) != len(("name", "operator", "value")) or matcher[1] not in (
            *("=", "!=", "=~", "!~"),
        ):
            raise FileError(f"policies: {matcher} is no matcher")
    for below in given.get("routes") or []:
        check_policy(state, below, root=False)


def _write_receiver(state: State, name: str, one: dict[str, Any]) -> None:
    need("contactPoints", one, RECEIVER, {"uid", "type", "settings"})
    check_receiver(one)
    state.put("contact_point", one["uid"],
              {"uid": one["uid"], "name": name, "type": one["type"], "settings": one["settings"],
               "disableResolveMessage": bool(one.get("disableResolveMessage")),
               "provenance": "file"})  # fmt: skip


def check_receiver(one: dict[str, Any]) -> None:
    """Refuse a contact point of an unknown type or without what its type needs."""
    needed = SETTINGS_NEEDED.get(str(one.get("type")))
    if needed is None:
        raise FileError(f"contactPoints: unknown type {one.get('type')!r}")
    need("contactPoints", one.get("settings"), {*needed, *SETTINGS[str(one["type"])]})
    if not any(one["settings"].get(key) for key in needed):
        raise FileError(f"contactPoints: {one.get('uid')} has no {' or '.join(needed)}")


def _check_templates(state: State) -> None:
    text = "\n".join(one["template"] for one in state.all("template"))
    defined = set(_DEFINED.findall(text))
    used = {
        name
        for point in state.all("contact_point")
        for value in point["settings"].values()
        if isinstance(value, str)
        for name in _USED.findall(value)
    }
    unknown = sorted(name for name in used - defined if not name.startswith("default."))
    if unknown:
        raise FileError(f"contactPoints use the templates {unknown}, which nobody defines")


def _write_group(state: State, group: dict[str, Any]) -> None:
    folder = next(
        (one for one in state.all("folder") if one["title"] == group["folder"]), None
    ) or folders.make(state, folders.checked_uid(""), group["folder"])
    for rule in group["rules"]:
        kept = {
            **rule, "folderUID": folder["uid"], "ruleGroup": group["name"],
            "folder": group["folder"], "updated": now(), "provenance": "file",
        }  # fmt: skip
        state.put("alert_rule", rule["uid"], kept)
