"""The context of message templates: a notification as plain texts, the same for every channel.

All texts are single harmless lines; a channel still has to escape what is special to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hostpulse_server import formatting
from hostpulse_server.notifications.channels import alert_context
from hostpulse_server.notifications.channels.alert_context import ICONS, NAME, names, tone
from hostpulse_server.notifications.channels.base import MAX_SHOWN
from hostpulse_server.notifications.channels.sanitize import link, one_line
from hostpulse_server.values.alert import NO_SERVER, SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hostpulse_server.notifications.channels.base import Notification

_LINE: Final = 300
_NOTE: Final = 600
_NOTE_LINES: Final = 8
_NOTE_ROOM: Final = 1500  # of all lines: what Slack takes as a text has to hold the alerts, too
_SHORT: Final = 100
_WAS: Final = "It was over before hostpulse heard of it: the samples came late."
_FLAPPING: Final = (
    "It fires and ends again and again. You do not get a message for each change, only if it "
    "becomes more severe, and once it is steady."
)
_ENDED: Final = ("resolved", "was")  # kinds of which all alerts are over
_OVER: Final = {
    "gone": "NO LONGER REPORTED",
    "rule_changed": "RULE CHANGED",
    "disabled": "DISABLED",
    "rule_removed": "RULE REMOVED",
    "server_removed": "SERVER REMOVED",
}
_OVER_ALL: Final = "NOT ALL RECOVERED"


def build_context(notification: Notification, message_id: str) -> dict[str, Any]:
    """Return the values that templates are rendered with."""
    one, zone = notification, formatting.zone(notification.timezone)
    said = "\n".join(filter(None, (one.note, _said(one))))
    alerts = [alert_context.of(alert, one, zone) for alert in one.alerts]
    status = _status(one)
    color = tone(status, one.reason, one_line(one.severity, NAME))
    color = "was" if status == "was" else color
    environment, site = one_line(one.environment, NAME), one_line(one.site, NAME)
    place, word, title = environment or site, _word(one, status, alerts), _title(one, alerts, site)
    return {
        "kind": one.kind,
        "status": status,
        "word": word,
        "reason": one_line(one.reason, NAME),
        "tone": color,
        "icon": ICONS.get(color, ""),
        "severity": one_line(one.severity, NAME),
        "environment": environment,
        "site": site,
        "place": place,
        "title": title,
        "headline": " · ".join(part for part in (place, word, title) if part),
        "note": one_line(said, _NOTE),
        "note_lines": _lines(said),
        "counts": {"firing": one.firing, "resolved": one.resolved, "servers": one.servers},
        "more": _more(one),
        "alerts": alerts,
        "servers": _by_server(alerts),
        "runbook": _common(alerts, "runbook"),
        "dashboard": alerts[0]["dashboard"] if _common(alerts, "server_id") else "",
        "act_url": link(one.act_url),
        "how": _how(one),
        "incident": one_line(one.incident, NAME),
        "number": one.number,
        "channel": one_line(one.channel, NAME),
        "group": names(one.group),
        "message_id": one_line(message_id, _LINE),
        "created": formatting.moment(one.created_ms, zone),
        "created_ms": one.created_ms,
    }


def add_note(notified: dict[str, Any], *notes: str) -> None:
    """Add lines to the note at the top of a message."""
    more = [shown for note in notes if (shown := one_line(note, _NOTE))]
    notified["note"] = " ".join(filter(None, [notified["note"], *more]))
    notified["note_lines"] = [*notified["note_lines"], *more]


def _lines(note: str) -> list[str]:
    """Return a note line by line; of a text with many more the last line has all that is left."""
    found: list[str] = []
    room = _NOTE_ROOM
    for part in note.strip().split("\n", _NOTE_LINES - 1):
        line = one_line(part, min(_NOTE, room)) if room > 0 else ""
        room -= len(line)
        found += [line] if line else []
    return found


def _said(one: Notification) -> str:
    """Return what a message says of its kind."""
    if one.kind == "was":
        return _WAS
    if any(alert.flap == "flapping" for alert in one.alerts) and one.kind != "repeat":
        return _FLAPPING
    steady = [alert for alert in one.alerts if alert.flap == "steady"]
    if not steady:
        return ""
    state = "over" if steady[0].state == "resolved" else "firing"
    lasting = formatting.span(min(alert.changed_within_ms for alert in steady))
    what = "It flapped and is" if len(steady) == 1 else f"{len(steady)} alerts flapped and are"
    return f"{what} steady again: {state} without a change for {lasting}."


def _status(one: Notification) -> str:
    if one.kind in ("notice", "test", *_ENDED):
        return one.kind
    return "firing"


def _word(one: Notification, status: str, alerts: Sequence[Mapping[str, Any]]) -> str:
    severity = one_line(one.severity, NAME).upper()
    if status == "resolved":
        return _word_of_end(one, alerts)
    if status == "was":
        return f"WAS {severity}"
    if status != "firing":
        return status.upper()
    if one.kind in ("repeat", "steady") or one.is_partial:
        return f"STILL {severity}"
    if not _is_fall(one):
        return f"{severity}, FLAPPING" if one.kind == "flapping" else severity
    was = max((alert.previous_severity for alert in one.alerts), key=_rank)
    is_most = _rank(one.severity) <= max(_rank(alert.severity) for alert in one.alerts)
    return f"{severity}, WAS {one_line(was, NAME).upper()}" if is_most else f"STILL {severity}"


def _word_of_end(one: Notification, alerts: Sequence[Mapping[str, Any]]) -> str:
    if len(alerts) != 1 or one.resolved > 1:
        return _OVER_ALL if tone("resolved", one.reason, "") == "over" else "RESOLVED"
    word = "RESOLVED"
    if alerts[0]["tone"] == "over":
        word = _OVER.get(alerts[0]["reason"], "OVER")
    # of one that flapped that would be but the last time
    return word if one.alerts[0].flap else f"{word} after {alerts[0]['lasted']}"


def _is_fall(one: Notification) -> bool:
    """Return whether all that is new is that alerts are less severe, or over."""
    firing = [alert for alert in one.alerts if alert.state == "firing"]
    return bool(firing) and all(
        _rank(alert.severity) < _rank(alert.previous_severity) for alert in firing
    )


def _rank(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else -1


def _title(one: Notification, alerts: Sequence[Mapping[str, Any]], site: str) -> str:
    if one.kind == "notice" and one.note:
        return one_line(one.note.strip().partition("\n")[0].rstrip(":"), _SHORT)
    if not alerts:
        return f"a test message from hostpulse of {site}" if one.kind == "test" else "hostpulse"
    rules = list(dict.fromkeys(alert["rule"] for alert in alerts))
    shown = ", ".join(rules[:3]) + (", …" if len(rules) > 3 else "")  # noqa: PLR2004 - what fits
    if one.is_partial:
        fire = "still fires" if one.firing == 1 else "still fire"
        over = f"{one.resolved} of {one.resolved + one.firing} over, {one.firing} {fire}"
        firing = [alert for alert in alerts if alert["state"] == "firing"]
        return f"{over}: {shown} on {_on(one.servers, firing)}"
    first = alerts[0]
    others = max(one.resolved if one.kind in _ENDED else one.firing, len(alerts)) - 1
    if len(alerts) == 1:
        more = f" (and {others} more)" if others else ""
        if _rank(first["severity"]) < min(_rank(one.severity), _rank(first["previous_severity"])):
            fire = f"{others} more fire{'s' if others == 1 else ''}"
            more = f" ({first['severity']}, was {first['previous_severity']}; {fire})"
        flap = f": {first['flap_text']}" if first["flapping"] else ""
        return f"{first['sentence']}{flap}{more}"
    return f"{shown}: {_count(others + 1, 'alert')} on {_on(one.servers, alerts)}"


def _on(servers: int, alerts: Iterable[Mapping[str, Any]]) -> str:
    """Return the name of the only server, else how many there are."""
    found = {alert["server_id"]: str(alert["server"]) for alert in alerts}
    number = max(servers, len(found))
    if number == 1 and NO_SERVER not in found:
        return next(iter(found.values()))
    return _count(number, "server")


def _more(one: Notification) -> str:
    """Return how many alerts of the group are not in the message, as text."""
    total = one.resolved if one.kind in _ENDED else one.firing
    state = "resolved" if one.kind in _ENDED else "firing"
    shown = sum(alert.state == state for alert in one.alerts)
    # what else is wrong on the host is listed with its only alert
    listed = len(one.alerts[0].others) if len(one.alerts) == 1 and one.servers <= 1 else 0
    left = total - shown - (0 if one.kind in _ENDED else listed)
    if left <= 0 or not one.alerts:
        return ""
    before = ", over before" if one.kind in _ENDED and len(one.alerts) < MAX_SHOWN else ""
    servers = one.servers - len({it.server_id for it in one.alerts if it.state == state})
    where = f" on {servers} more server{'' if servers == 1 else 's'}" if servers > 0 else ""
    still = (" still fires" if left == 1 else " still fire") if one.is_partial else ""
    return f"and {left} more{still}{where}{before}"


def _how(one: Notification) -> str:
    """Return how to acknowledge where a message has no link."""
    firing = [alert for alert in one.alerts if alert.state == "firing"]
    if link(one.act_url) or not firing or one.kind == "test":
        return ""
    return f"hostpulse-server alerts ack {' '.join(str(alert.id) for alert in firing)}"


def _by_server(alerts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the alerts by server, in the order in which they come."""
    found: dict[str, dict[str, Any]] = {}
    for alert in alerts:
        new = {"server": alert["server"], "dashboard": alert["dashboard"], "alerts": []}
        found.setdefault(alert["server_id"], new)["alerts"].append(alert)
    return list(found.values())


def _common(alerts: Sequence[Mapping[str, Any]], key: str) -> str:
    """Return what all alerts have there, ``""`` where they differ."""
    found = {str(alert[key]) for alert in alerts}
    return found.pop() if len(found) == 1 else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
