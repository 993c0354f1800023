"""The context of the action page's template, as plain values."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hostpulse_server import formatting
from hostpulse_server.notifications import runbooks
from hostpulse_server.operator import serializers

if TYPE_CHECKING:
    from datetime import tzinfo

    from hostpulse_server.config import SiteConfig
    from hostpulse_server.notifications.action_links import ActionLink
    from hostpulse_server.operator.incidents import ActionResult, Incident
    from hostpulse_server.state.alert_models import AlertRow

MAX_SHOWN: Final = 20


@dataclass(slots=True)
class PageNotice:
    """What was sent with the form, and what came of it."""

    name: str = ""
    comment: str = ""
    done: str = ""
    fault: str = ""


def page(incident: Incident, link: ActionLink, site: SiteConfig) -> dict[str, Any]:
    """Return the values of ``act.html``."""
    where = formatting.zone(site.timezone)
    firing, over = len(incident.firing), len(incident.over)
    environments = {row.labels.get("env", "") for row in (*incident.firing, *incident.over)}
    every = itertools.chain(incident.firing, incident.over)
    return {
        "title": title(firing, over),
        "environment": environments.pop() if len(environments) == 1 else "",
        "firing": firing,
        "alerts": [
            _alert(row, incident, where, site.public_url)
            for row in itertools.islice(every, MAX_SHOWN)
        ],
        "omitted": max(0, firing + over - MAX_SHOWN),
        "acknowledged": len(incident.acknowledged),
        "silenced": len(incident.silenced),
        "now": formatting.moment(incident.now_ms, where),
        "expires": formatting.moment(link.expires_ms, where),
        "example": incident.firing[0].id if incident.firing else None,
    }


def title(firing: int, over: int) -> str:
    """Return the state of an incident in a few words."""
    if not firing + over:
        return "Nothing is known of this any more"
    if not firing:
        return "It is over" if over == 1 else f"All {over} alerts are over"
    words = f"{firing} alert{'' if firing == 1 else 's'} firing"
    return f"{words}, {over} over" if over else words


def sentence(done: ActionResult, what: str, otherwise: str) -> str:
    """Return ``Done: 2 alerts are silenced for 4 h.``, or what was so already."""
    parts = []
    if done.changed:
        parts.append(f"Done: {_alerts(done.changed)} {_are(done.changed)} {what}.")
    if done.already:
        was = otherwise if done.already == 1 else otherwise.replace("was", "were", 1)
        parts.append(f"{_alerts(done.already)} {was}.")
    return " ".join(parts)


def _alerts(count: int) -> str:
    return "1 alert" if count == 1 else f"{count} alerts"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _alert(row: AlertRow, incident: Incident, where: tzinfo, public_url: str) -> dict[str, Any]:
    runbook = runbooks.address(row.runbook, public_url)
    until_ms = incident.now_ms if row.resolved_ms is None else row.resolved_ms
    lasted = formatting.duration(until_ms - row.started_ms)
    began = formatting.moment(row.started_ms, where)
    taken = serializers.acknowledgement(row, incident.now_ms)
    ends = [one.end_ms for one in incident.silences.get(row.id, ())]
    is_over = row in incident.over
    is_quiet = row.resolved_ms is not None and not is_over
    return {
        "id": row.id,
        "severity": row.severity,
        "is_over": is_over,
        "summary": row.summary,
        "server": row.server_id,
        "figures": _figures(row),
        "since": f"over after {lasted}, began {began}"
        if is_over
        else f"flaps, over now; began last {began}, for {lasted}"
        if is_quiet
        else f"since {began}, for {lasted}",
        "runbook": runbook,
        "is_link": runbook.startswith(("https://", "http://")),
        "acknowledged": taken
        and {
            "by": taken["by"],
            "until": formatting.moment(taken["until"], where),
            "comment": taken["comment"],
        },
        "silenced": formatting.moment(max(ends), where) if ends else "",
    }


def _figures(row: AlertRow) -> str:
    if row.value is None:
        return ""
    worst = (row.evidence or {}).get("worst")
    figures = formatting.compared(row.value, row.threshold, row.field, worst)
    return f"{row.measurement} {row.field} {figures}"
