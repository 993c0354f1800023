"""Alerting of the stand-in: the provisioning interface, and rules whose queries are run.

It evaluates no threshold and sends nothing: what fires, and who is notified, only a real Grafana
can show. Of each rule it says whether the data source takes its queries.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from tests.dashboards.annotated_csv import QueryError
from tests.servers.grafana_api import alert_files, flux, rule_files
from tests.servers.grafana_api.api import (
    ADMIN,
    ORGANIZATION,
    VIEWER,
    Answer,
    ApiError,
    Call,
    Route,
    now,
    said,
)
from tests.servers.grafana_api.file_checks import FileError

if TYPE_CHECKING:
    from tests.servers.grafana_api.state import Document

REDACTED = "[REDACTED]"
HIDDEN = {"slack": ("url", "token"), "webhook": ("password", "authorization_credentials")}
PROVISIONING = "/api/v1/provisioning"


def _plain(one: Document, *but: str) -> dict[str, Any]:
    return {key: value for key, value in one.items() if key not in ("key", *but)}


def rules(call: Call) -> list[dict[str, Any]]:
    """Answer all alert rules."""
    return [
        {
            "isPaused": False, "annotations": {}, "labels": {}, "noDataState": "NoData",
            "execErrState": "Alerting", **_plain(one, "folder"), "orgID": ORGANIZATION,
        }
        for one in call.state.all("alert_rule")
    ]  # fmt: skip


def contact_points(call: Call) -> list[dict[str, Any]]:
    """Answer all contact points, their secrets hidden."""
    found: list[dict[str, Any]] = [dict(alert_files.DEFAULT_POINT)]
    found += [_plain(one, "id") for one in call.state.all("contact_point")]
    for one in found:
        secret = HIDDEN.get(one["type"], ())
        one["settings"] = {
            key: REDACTED if key in secret else value for key, value in one["settings"].items()
        }
    name = call.given("name")
    return sorted(
        (one for one in found if name in ("", one["name"])),
        key=lambda one: (one["name"], one["uid"]),
    )


def create_contact_point(call: Call) -> Answer:
    """Add a contact point."""
    given = call.document()
    one = {"uid": secrets.token_hex(7), "disableResolveMessage": False, **given}
    try:
        alert_files.check_receiver(one)
    except FileError as fault:
        raise ApiError(400, str(fault)) from fault
    if not one.get("name"):
        raise ApiError(400, "invalid object specification: contact point has no name")
    call.state.insert("contact_point", one["uid"], {**one, "provenance": "api"})
    return Answer(202, {**one, "provenance": "api"})


def create_rule(_call: Call) -> Answer:
    """Refuse: hostpulse makes rules by files only."""
    raise ApiError(501, "the stand-in makes no alert rules over the interface")


def policies(call: Call) -> dict[str, Any]:
    """Answer the notification policy."""
    return alert_files.policy(call.state)


def set_policies(call: Call) -> Answer:
    """Replace the notification policy."""
    given = call.document()
    try:
        alert_files.check_policy(call.state, given)
    except FileError as fault:
        raise ApiError(400, f"invalid object specification: {fault}") from fault
    kept = {key: value for key, value in given.items() if key != "provenance"}
    call.state.put("policy", str(ORGANIZATION), {**kept, "provenance": "api"})
    return Answer(202, said("policies updated"))


def templates(call: Call) -> list[dict[str, Any]] | None:
    """Answer all message templates, nothing where there are none."""
    return [_plain(one, "id") for one in call.state.all("template")] or None


def set_template(call: Call, name: str) -> Answer:
    """Add or replace a message template."""
    text = str(call.document().get("template") or "")
    if not text:
        raise ApiError(400, "invalid object specification: template must have content")
    kept = {"name": name, "template": text, "provenance": "api"}
    call.state.put("template", name, kept)
    return Answer(202, kept)


def mute_timings(call: Call) -> list[dict[str, Any]]:
    """Answer all mute timings."""
    return [_plain(one, "id") for one in call.state.all("mute_timing")]


def create_mute_timing(call: Call) -> Answer:
    """Add a mute timing."""
    given = call.document()
    if not given.get("name") or call.state.find("mute_timing", given["name"]):
        raise ApiError(400, "invalid object specification: name is missing or taken")
    kept = {
        "name": given["name"], "time_intervals": given.get("time_intervals") or [],
        "provenance": "api",
    }  # fmt: skip
    call.state.insert("mute_timing", given["name"], kept)
    return Answer(201, kept)


def states(call: Call) -> dict[str, Any]:
    """Answer every rule, by group, with whether its queries run."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for rule in call.state.all("alert_rule"):
        fault = _fault(call, rule)
        shown = {
            "name": rule["title"], "type": "alerting", "state": "inactive",
            "health": "err" if fault else "ok", "lastEvaluation": now(), "evaluationTime": 0,
            "labels": rule.get("labels") or {}, "annotations": rule.get("annotations") or {},
        }  # fmt: skip
        if fault:
            shown["lastError"] = fault
        groups.setdefault((rule["folder"], rule["ruleGroup"]), []).append(shown)
    found = [
        {"name": name, "file": folder, "interval": 60, "rules": those}
        for (folder, name), those in groups.items()
    ]
    return {"status": "success", "data": {"groups": found}}


def _fault(call: Call, rule: Document) -> str:
    """Return why the queries of a rule do not run."""
    stop = int(time.time() * 1000)
    for one in rule["data"]:
        if one["datasourceUid"] == rule_files.EXPRESSION:
            continue
        source = call.state.find("data_source", one["datasourceUid"])
        if source is None:
            return "data source not found"
        span, model = one["relativeTimeRange"], one["model"]
        start, end = (stop - span[key] * 1000 for key in ("from", "to"))
        text = flux.filled(model["query"], start, end, model.get("intervalMs", 1000), source)
        try:
            flux.frames(source, text)
        except QueryError as error:
            return str(error)
    return ""


ROUTES = (
    Route("GET", f"{PROVISIONING}/alert-rules", ADMIN, rules),
    Route("POST", f"{PROVISIONING}/alert-rules", ADMIN, create_rule),
    Route("GET", f"{PROVISIONING}/contact-points", ADMIN, contact_points),
    Route("POST", f"{PROVISIONING}/contact-points", ADMIN, create_contact_point),
    Route("GET", f"{PROVISIONING}/policies", ADMIN, policies),
    Route("PUT", f"{PROVISIONING}/policies", ADMIN, set_policies),
    Route("GET", f"{PROVISIONING}/templates", ADMIN, templates),
    Route("PUT", f"{PROVISIONING}/templates/{{}}", ADMIN, set_template),
    Route("GET", f"{PROVISIONING}/mute-timings", ADMIN, mute_timings),
    Route("POST", f"{PROVISIONING}/mute-timings", ADMIN, create_mute_timing),
    Route("GET", "/api/prometheus/grafana/api/v1/rules", VIEWER, states),
)
