"""Provisioning files of alerting: what such a file may have, and what it changes.

Stricter than Grafana, which passes over what it does not know: a key that the documentation of file
provisioning does not name is refused, and so is a reference to what is nowhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.servers.grafana_api import folders
from tests.servers.grafana_api.api import ORGANIZATION, now

if TYPE_CHECKING:
    from collections.abc import Iterable

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
EXPRESSION = "__expr__"
LISTS = {
    *("groups", "contactPoints", "policies", "templates", "muteTimes", "resetPolicies"),
    *("deleteRules", "deleteContactPoints", "deleteTemplates", "deleteMuteTimes"),
}
GROUP = {"orgId", "name", "folder", "interval", "rules"}
RULE = {
    *("uid", "title", "condition", "data", "dashboardUid", "panelId", "noDataState", "for"),
    *("execErrState", "annotations", "labels", "isPaused", "keepFiringFor"),
}
RULE_NEEDS = {"uid", "title", "condition", "data", "for"}
QUERY = {"refId", "datasourceUid", "relativeTimeRange", "model", "queryType"}
POLICY = {
    *("orgId", "receiver", "group_by", "matchers", "object_matchers", "mute_time_intervals"),
    *("group_wait", "group_interval", "repeat_interval", "routes", "continue"),
}
RECEIVER = {"uid", "type", "settings", "disableResolveMessage", "secureSettings"}
# Of each type of contact point: one of these settings is needed.
SETTINGS_NEEDED = {"slack": ("url", "token"), "email": ("addresses",), "webhook": ("url",)}
STATES = {"noDataState": ("OK", "NoData", "Alerting", "KeepLast"),
          "execErrState": ("OK", "Error", "Alerting", "KeepLast")}  # fmt: skip
LONGEST_UID, STEP_SECONDS = 40, 10
_DURATION = re.compile(r"(\d+[smhdw])+")
_USED = re.compile(r'{{-?\s*template\s+"([^"]+)"')
_DEFINED = re.compile(r'{{-?\s*define\s+"([^"]+)"')


class FileError(Exception):
    """A provisioning file cannot be used; the message names the file and the fault."""


def need(name: str, given: Any, allowed: Iterable[str], needed: Iterable[str] = ()) -> None:
    """Refuse keys that are not documented and the lack of those that are needed."""
    if not isinstance(given, dict):
        raise FileError(f"{name} is no object")
    unknown, missing = sorted(set(given) - set(allowed)), sorted(set(needed) - set(given))
    if unknown or missing:
        raise FileError(f"{name}: unknown {unknown}, missing {missing}")


def apply(state: State, documents: dict[str, dict[str, Any]]) -> None:
    """Bring what is kept into the state that the files have; refuse what cannot be, before."""
    for name, document in documents.items():
        need(name, document, {"apiVersion", *LISTS}, {"apiVersion"})
    merged = {key: [one for document in documents.values() for one in document.get(key) or []]
              for key in LISTS}  # fmt: skip
    with state.lock:
        for group in merged["groups"]:
            _check_group(state, group)
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
        if key in given and not _DURATION.fullmatch(str(given[key])):
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
    if not any((one.get("settings") or {}).get(key) for key in needed):
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


def _check_group(state: State, group: dict[str, Any]) -> None:
    need("groups", group, GROUP, {"name", "folder", "interval", "rules"})
    found = _DURATION.fullmatch(str(group["interval"]))
    units = {"s": 1, "m": 60, "h": 3600}
    if not found or int(group["interval"][:-1]) * units[group["interval"][-1]] % STEP_SECONDS:
        raise FileError(f"group {group['name']}: the interval is no multiple of {STEP_SECONDS} s")
    titles = [rule.get("title") for rule in group["rules"]]
    if len(set(titles)) != len(titles):
        raise FileError(f"group {group['name']}: a title twice")
    for rule in group["rules"]:
        _check_rule(state, rule)


def _check_rule(state: State, rule: dict[str, Any]) -> None:
    name = f"rule {rule.get('uid')}"
    need(name, rule, RULE, RULE_NEEDS)
    if not folders.UID.fullmatch(rule["uid"]) or len(rule["uid"]) > LONGEST_UID:
        raise FileError(f"{name}: the uid is no uid")
    refs = [one.get("refId") for one in rule["data"]]
    if rule["condition"] not in refs or len(set(refs)) != len(refs):
        raise FileError(f"{name}: condition {rule['condition']} or a refId is not as it should be")
    for key, allowed in STATES.items():
        if rule.get(key, "OK") not in allowed:
            raise FileError(f"{name}: {key} is {rule[key]!r}")
    if not _DURATION.fullmatch(str(rule["for"])):
        raise FileError(f"{name}: for is {rule['for']!r}, no duration")
    for one in rule["data"]:
        need(name, one, QUERY, {"refId", "datasourceUid", "model"})
        source = one["datasourceUid"]
        if source == EXPRESSION:
            _check_expression(name, one["model"], refs)
        elif state.find("data_source", source) is None:
            raise FileError(f"{name}: there is no data source {source!r}")


def _check_expression(name: str, model: dict[str, Any], refs: list[Any]) -> None:
    kind, expression = model.get("type"), str(model.get("expression", ""))
    if kind not in ("reduce", "threshold", "math", "resample", "classic_conditions"):
        raise FileError(f"{name}: unknown expression {kind!r}")
    used = re.findall(r"\$(\w+)", expression) if kind == "math" else [expression]
    if not set(used) <= set(refs):
        raise FileError(f"{name}: the expression {expression!r} names what is nowhere")
    if kind == "reduce" and model.get("reducer") not in (
        "last",
        "mean",
        "min",
        "max",
        "sum",
        "count",
    ):
        raise FileError(f"{name}: unknown reducer {model.get('reducer')!r}")


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
