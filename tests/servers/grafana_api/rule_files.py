"""Groups of alert rules in provisioning files: what such a group may have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.servers.grafana_api import folders
from tests.servers.grafana_api.file_checks import DURATION, FileError, need

if TYPE_CHECKING:
    from tests.servers.grafana_api.state import State

EXPRESSION = "__expr__"
GROUP = {"orgId", "name", "folder", "interval", "rules"}
RULE = {
    *("uid", "title", "condition", "data", "dashboardUid", "panelId", "noDataState", "for"),
    *("execErrState", "annotations", "labels", "isPaused", "keepFiringFor"),
}
RULE_NEEDS = {"uid", "title", "condition", "data", "for"}
QUERY = {"refId", "datasourceUid", "relativeTimeRange", "model", "queryType"}
# What the model of a query may have, and that of each type of expression.
MODEL = {"refId", "intervalMs", "maxDataPoints", "datasource", "hide"}
QUERY_MODEL = {*MODEL, "query"}
EXPRESSIONS = {
    "reduce": {"reducer", "settings"}, "threshold": {"conditions"}, "math": set[str](),
    "resample": {"window", "downsampler", "upsampler"},
}  # fmt: skip
REDUCERS = ("last", "mean", "min", "max", "sum", "count")
EVALUATORS = {"gt": 1, "lt": 1, "within_range": 2, "outside_range": 2}  # with so many numbers
STATES = {"noDataState": ("OK", "NoData", "Alerting", "KeepLast"),
          "execErrState": ("OK", "Error", "Alerting", "KeepLast")}  # fmt: skip
LONGEST_UID, STEP_SECONDS = 40, 10


def check_group(state: State, group: dict[str, Any]) -> None:
    """Refuse a group with a rule that cannot be."""
    need("groups", group, GROUP, {"name", "folder", "interval", "rules"})
    found = DURATION.fullmatch(str(group["interval"]))
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
    if not DURATION.fullmatch(str(rule["for"])):
        raise FileError(f"{name}: for is {rule['for']!r}, no duration")
    for one in rule["data"]:
        need(name, one, QUERY, {"refId", "datasourceUid", "model"})
        source = one["datasourceUid"]
        if one["model"].get("refId", one["refId"]) != one["refId"]:
            raise FileError(f"{name}: the model of {one['refId']} has another refId")
        if source == EXPRESSION:
            _check_expression(name, one["model"], refs)
        elif state.find("data_source", source) is None:
            raise FileError(f"{name}: there is no data source {source!r}")
        else:
            need(f"{name}, model", one["model"], QUERY_MODEL, {"query"})


def _check_expression(name: str, model: dict[str, Any], refs: list[Any]) -> None:
    kind, expression = model.get("type"), str(model.get("expression", ""))
    if kind not in EXPRESSIONS:
        raise FileError(f"{name}: unknown expression {kind!r}")
    own = {"type", "expression", *EXPRESSIONS[kind]}
    need(f"{name}, model", model, {*MODEL, *own}, own - {"settings"})
    used = re.findall(r"\$(\w+)", expression) if kind == "math" else [expression]
    if not used or not set(used) <= set(refs):
        raise FileError(f"{name}: the expression {expression!r} names what is nowhere")
    if kind == "reduce" and model["reducer"] not in REDUCERS:
        raise FileError(f"{name}: unknown reducer {model['reducer']!r}")
    for condition in model["conditions"] if kind == "threshold" else ():
        need(f"{name}, condition", condition, {"evaluator", "unloadEvaluator"}, {"evaluator"})
        for one in condition.values():
            _check_evaluator(name, one)
    if kind == "threshold" and len(model["conditions"]) != 1:
        raise FileError(f"{name}: a threshold has one condition")


def _check_evaluator(name: str, one: dict[str, Any]) -> None:
    need(f"{name}, evaluator", one, {"type", "params"}, {"type", "params"})
    numbers = [value for value in one["params"] if isinstance(value, int | float)]
    if not EVALUATORS.get(one["type"]) == len(numbers) == len(one["params"]):
        raise FileError(f"{name}: {one} is no evaluator")
