"""Channels and routes of a hostpulse server as contact points and a policy of Grafana."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, cast

from ansible_collections.hostpulse.platform.plugins.plugin_utils.flux_matching import (
    IS_GLOB,
    LABEL,
    expression,
    having,
)
from ansible_collections.hostpulse.platform.plugins.plugin_utils.grafana_rules import uid_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TITLE = '{{ template "hostpulse.title" . }}'
TEXT = '{{ template "hostpulse.text" . }}'
DEFAULT_SEVERITIES = ("warning", "critical")  # notified without routes
MUTE_TIMING = "hostpulse tells nobody"
MUTE_ALWAYS = {
    "name": MUTE_TIMING,
    "time_intervals": [{"times": [{"start_time": "00:00", "end_time": "24:00"}]}],
}
ROOT = "grafana-default-email"
# What a match of a route may name beside labels of servers.
PROPERTIES = ("severity", "rule", "server_id")


def literal(value: Any) -> Any:
    """Return a value as provisioning files want it, where a dollar begins a reference."""
    if isinstance(value, dict):
        return {key: literal(one) for key, one in value.items()}
    if isinstance(value, list):
        return [literal(one) for one in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def contact_points(
    channels: Mapping[str, Mapping[str, Any]], sets: Iterable[Sequence[str]], secrets: str
) -> list[dict[str, Any]]:
    """Return a contact point for each set of channels that a route names."""
    return [
        {
            "orgId": 1,
            "name": name_of(names),
            "receivers": [
                {
                    "uid": uid_of(hashlib.sha256(name_of(names).encode()).hexdigest()[:8], name),
                    "type": channels[name]["kind"],
                    "settings": _settings(name, channels[name], secrets),
                }
                for name in names
            ],
        }
        for names in sets
    ]


def name_of(names: Sequence[str]) -> str:
    """Return the name of the contact point of some channels."""
    return f"hostpulse {' + '.join(names)}"


def _settings(name: str, channel: Mapping[str, Any], secrets: str) -> dict[str, Any]:
    secret = f"$__file{{{secrets}/channel_{name}}}"
    if channel["kind"] == "slack":
        return {"url": secret, "title": TITLE, "text": TEXT}
    if channel["kind"] == "email":
        to = channel.get("to") or []
        addresses = ";".join([to] if isinstance(to, str) else to)
        return {
            "addresses": literal(addresses),
            "singleEmail": True,
            "subject": TITLE,
            "message": TEXT,
        }
    return {"url": secret, "httpMethod": "POST", "title": TITLE, "message": TEXT}


def mail_server(channels: Mapping[str, Mapping[str, Any]], secrets: str) -> dict[str, Any]:
    """Return the section [smtp] of the first channel that sends mail; Grafana has one for all."""
    for name, one in sorted(channels.items()):
        if one["kind"] == "email":
            security = one.get("security", "starttls")
            found = {
                "enabled": True,
                "host": f"{one.get('host', '')}:{one.get('port', 587)}",
                "from_address": one.get("from", ""),
                "startTLS_policy": "MandatoryStartTLS" if security == "starttls" else "NoStartTLS",
            }
            if one.get("username"):
                found["user"] = one["username"]
                found["password"] = f"$__file{{{secrets}/channel_{name}}}"
            return found
    return {}


def policy(
    routes: Sequence[Mapping[str, Any]],
    alerts: Mapping[str, Any],
    labels: Mapping[str, Mapping[str, str]],
    others: Sequence[Any],
) -> dict[str, Any]:
    """Return the notification policy: our routes below one route, then the other routes.

    Of ours the first route that matches applies; without a match nobody is notified.
    """
    ours = [
        {
            "receiver": name_of(route["channels"]),
            "object_matchers": [matcher for name, glob in (route.get("match") or {}).items()
                                for matcher in [_matcher(name, str(glob), labels)]],
        }
        for route in routes
    ]  # fmt: skip
    muted = {"receiver": ours[0]["receiver"], "mute_time_intervals": [MUTE_TIMING]}
    return {
        "orgId": 1,
        "receiver": ROOT,
        "routes": [
            {
                "receiver": ours[0]["receiver"],
                "object_matchers": [["source", "=", "hostpulse"]],
                # A higher severity is notified at once, not with the group's next notification.
                "group_by": [*map(str, _labels(alerts.get("group_by"))), "severity"],
                "group_wait": str(alerts.get("group_wait", "10s")),
                "group_interval": str(alerts.get("group_interval", "5m")),
                "repeat_interval": str(alerts.get("repeat_interval", "4h")),
                "routes": [*literal(ours), muted],
            },
            *others,
        ],
    }


def _labels(group_by: Any) -> Sequence[Any]:
    """Return the labels that group: Grafana cannot choose them by itself as "auto" does."""
    return ["rule"] if group_by in (None, "auto", []) else cast("Sequence[Any]", group_by)


def _matcher(name: str, glob: str, labels: Mapping[str, Mapping[str, str]]) -> list[str]:
    if name in PROPERTIES or (name.removeprefix(LABEL) == name and not _is_label(name, labels)):
        return [name, "=~", expression(glob)] if IS_GLOB.search(glob) else [name, "=", glob]
    servers = having(name.removeprefix(LABEL), glob, labels)
    return ["server_id", "=~", f"^({'|'.join(expression(one)[1:-1] for one in servers)})$"]


def _is_label(name: str, labels: Mapping[str, Mapping[str, str]]) -> bool:
    """Tell whether a server has a label of this name: Grafana's alerts carry no such labels."""
    return any(name in own for own in labels.values())


def effective_routes(
    routes: Sequence[Mapping[str, Any]], channels: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the routes, or where there are none that every channel gets warnings and above."""
    if routes:
        return [
            {**route, "channels": list(dict.fromkeys(route.get("channels") or []))}
            for route in routes
        ]
    names = sorted(channels)
    return [{"match": {"severity": severity}, "channels": names} for severity in DEFAULT_SEVERITIES]
