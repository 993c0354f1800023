"""The context of one alert for message templates, as plain texts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from hostpulse_server import formatting
from hostpulse_server.notifications.channels.sanitize import link, one_line
from hostpulse_server.notifications.channels.sparkline import sparkline
from hostpulse_server.values.alert import NO_SERVER, AlertIdentity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import tzinfo

    from hostpulse_server.notifications.channels.base import AlertDetails, Notification

NAME: Final = 120
_LINE: Final = 300
_MANY: Final = 6  # lines of one kind that are still looked at
_LONGEST_URL: Final = 2000
ICONS: Final = {
    "critical": "🔴",
    "warning": "🟠",
    "info": "🔵",
    "resolved": "✅",
    "over": "⚪",
    "was": "⚪",
}
_ENDINGS: Final = {
    "cleared": "it is back where it should be",
    "gone": "it is no longer reported, while its host is; whether it has recovered is not known",
    "rule_changed": "its rule or threshold was changed, and by the new one it does not fire",
    "revised": "samples that came late show that it was not so",
    "disabled": "the server or the rule was disabled",
    "rule_removed": "the rule was removed",
    "server_removed": "the server was removed",
}
# what is over without a sign that it is good
_OVER: Final = {
    "gone": "GONE",
    "rule_changed": "CHANGED",
    "disabled": "DISABLED",
    "rule_removed": "REMOVED",
    "server_removed": "REMOVED",
}


def tone(state: str, reason: str, severity: str) -> str:
    """Return a severity, ``resolved`` for a recovery, or ``over`` for an end that shows none."""
    if state != "resolved":
        return severity
    return "resolved" if reason in ("", "cleared", "revised") else "over"


def of(one: AlertDetails, message: Notification, zone: tzinfo) -> dict[str, Any]:
    """Return the values of an alert."""
    server_id, name = one_line(one.server_id, 253), one_line(one.server_name, NAME)
    server = name or server_id
    if one.server_id == NO_SERVER:
        server = f"hostpulse ({one_line(message.site, NAME)})"
    summary = one_line(one.summary, _LINE) or one_line(one.rule, NAME) or "an alert"
    is_notified = one.server_id == NO_SERVER or server in summary or server_id in summary
    over = one.resolved_ms
    until_ms = message.created_ms if over is None else over
    tags = names(one.tags)
    # what led to an alert is of no use any more when it is over
    is_firing = one.state != "resolved"
    severity = one_line(one.severity, NAME)
    color = tone(one.state, one.reason, severity)
    if not is_firing and message.kind == "was":
        color = "was"
    trend = [value for value in one.trend if math.isfinite(value)] if is_firing else []
    values: dict[str, Any] = {
        "id": one.id,
        "dedup_key": _dedup_key(one),
        "rule": one_line(one.rule, NAME),
        "server_id": server_id,
        "server_name": name,
        "server": server,
        "severity": severity,
        "state": one.state,
        "previous_severity": one_line(one.previous_severity, NAME),
        "tone": color,
        "icon": ICONS.get(color, ""),
        "word": _word(color, severity, one.reason),
        "summary": summary,
        "sentence": summary if is_notified else f"{summary} on {server}",
        "where": ", ".join(f"{name} {value}" for name, value in tags.items()),
        "started_ms": one.started_ms,
        "fired_ms": one.fired_ms,
        "resolved_ms": over,
        "since": formatting.moment(one.started_ms, zone),
        "ended": "" if over is None else formatting.moment(over, zone),
        "lasted": formatting.duration(until_ms - one.started_ms),
        "reason": one_line(one.reason, NAME),
        "because": "" if over is None else _ENDINGS.get(one.reason, one_line(one.reason, NAME)),
        "flap_text": _flap(one),
        "flapping": {"changes": one.changes, "seconds": one.changed_within_ms // 1000}
        if one.flap == "flapping"
        else None,
        "figures": "" if formatting.is_answer(one.field) else _figures(one),
        "value": _finite(one.value),
        "worst": _finite(one.worst),
        "threshold": _finite(one.threshold),
        "comparison": one_line(one.comparison, NAME),
        "measurement": one_line(one.measurement, NAME),
        "field": one_line(one.field, NAME),
        "tags": tags,
        "labels": names(one.labels),
        "runbook": one_line(one.runbook, _LONGEST_URL),
        "runbook_url": link(one.runbook),
        "dashboard": link(one.dashboard),
        "trend": trend,
        "sparkline": sparkline(trend, one.threshold, one.comparison, one.clear),
        "trend_text": _trend(trend, one.field),
        "evidence": _lines(one.evidence if is_firing else ()),
        "processes": [_process(one) for one in one.processes[:_MANY]] if is_firing else [],
        "others": _lines(one.others),
        "acknowledged_by": one_line(one.acknowledged_by, NAME),
    }
    return values | {"facts": _facts(one, values), "when": _when(values), "brief": _brief(values)}


def _when(values: Mapping[str, Any]) -> str:
    """Return since when it fires, or how long it lasted and why it ended."""
    if values["resolved_ms"] is None:
        return f"since {values['since']}, for {values['lasted']}"
    why = f": {values['because']}" if values["because"] else ""
    return f"lasted {values['lasted']}, over {values['ended']}{why}"


def _brief(values: Mapping[str, Any]) -> str:
    """Return the same without times of day."""
    if values["resolved_ms"] is None:
        was = f"was {values['previous_severity']}, " if values["previous_severity"] else ""
        return f"{was}{values['flap_text'] or 'for ' + values['lasted']}"
    why = f": {values['because']}" if values["because"] else ""
    figures = f", {values['figures']}" if values["figures"] else ""
    return f"lasted {values['lasted']}{figures}{why}"


def _finite(value: float | None) -> float | None:
    """Return what JSON has a form for."""
    return value if value is None or math.isfinite(value) else None


def _facts(one: AlertDetails, values: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what is known of an alert as labels and texts, without what is empty."""
    is_over = one.resolved_ms is not None
    server = values["server"]
    if values["server_id"] not in ("", server):
        server = f"{server} ({values['server_id']})"
    facts = {
        "Server": server,
        "Where": values["where"],
        "Severity": f"{values['severity']}, was {values['previous_severity']}"
        if values["previous_severity"]
        else "",
        "Flapping": values["flap_text"],
        "Value": _value(one),
        "Lasted": f"{values['lasted']}, from {values['since']} to {values['ended']}"
        if is_over
        else "",
        "Ended": values["because"],
        "Since": "" if is_over or one.is_quiet else f"{values['since']}, for {values['lasted']}",
        "Acknowledged by": values["acknowledged_by"],
        "Labels": ", ".join(f"{name}={value}" for name, value in values["labels"].items()),
        "Rule": values["rule"],
    }
    return [{"label": label, "text": text} for label, text in facts.items() if text]


def _flap(one: AlertDetails) -> str:
    """Return how often an alert that flaps has changed, and how it is now."""
    if one.flap != "flapping":
        return ""
    now = "over" if one.is_quiet else "firing"
    within = formatting.span(one.changed_within_ms)
    return f"changed {one.changes} times in {within}, {now} now"


def _value(one: AlertDetails) -> str:
    value = _figures(one)
    if not value or one.threshold is None or formatting.is_answer(one.field):
        return value
    threshold = formatting.with_unit(one.threshold, one.field)
    return f"{value} (threshold: {one.comparison} {threshold})".replace(":  ", ": ")


def _figures(one: AlertDetails) -> str:
    """Return the value of now, or of the end, and the worst."""
    if one.value is None:
        return ""
    value = formatting.with_unit(one.value, one.field, one.threshold)
    if formatting.is_answer(one.field):
        return value
    if one.state == "resolved":
        value += " when last seen" if one.reason == "gone" else " at the end"
    if one.worst is not None and (one.state == "resolved" or one.worst != one.value):
        now = " now" if one.state != "resolved" else ""
        value = f"{value}{now}, worst {formatting.with_unit(one.worst, one.field, one.threshold)}"
    return value


def _trend(trend: Sequence[float], field: str) -> str:
    """Return from where to where the values went."""
    if len(trend) <= 1:
        return ""
    return f"{formatting.with_unit(trend[0], field)} → {formatting.with_unit(trend[-1], field)}"


def _process(process: Mapping[str, Any]) -> dict[str, str]:
    cpu, memory, pid = (process.get(key) for key in ("cpu_percent", "rss_bytes", "pid"))
    return {
        "name": one_line(process.get("name", "?"), 60),
        "pid": str(pid) if isinstance(pid, int) else "",
        "cpu": formatting.with_unit(cpu, "cpu_percent") if isinstance(cpu, int | float) else "",
        "memory": formatting.size(memory) if isinstance(memory, int | float) else "",
    }


def _lines(texts: Sequence[str]) -> list[str]:
    shown = [line for line in (one_line(text, _LINE) for text in texts[:_MANY]) if line]
    left = len(texts) - _MANY
    return [*shown, f"and {left} more"] if left > 0 else shown


def names(values: Mapping[str, str]) -> dict[str, str]:
    """Return names and values for people, as many as are looked at."""
    shown = list(values.items())[: 2 * _MANY]
    return {one_line(name, 64): one_line(value, NAME) for name, value in shown}


def _dedup_key(one: AlertDetails) -> str:
    own = AlertIdentity(one.rule, one.server_id, tuple(sorted(one.tags.items()))).fingerprint
    return one_line(one.dedup_key, NAME) or own


def _word(color: str, severity: str, reason: str) -> str:
    if color == "was":
        return f"WAS {severity}".upper()
    return _OVER.get(reason, "OVER") if color == "over" else color.upper()
