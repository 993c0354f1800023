"""The configuration as the planner needs it: routes, groups, times."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from hostpulse_server.notifications.planner import conversations
from hostpulse_server.notifications.planner.state import STORM, FlapSettings, PlannerSettings
from hostpulse_server.notifications.routing import route

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hostpulse_server.config import ServerConfig
    from hostpulse_server.notifications.planner.state import PlannedAlert

AUTO: Final = "auto"


def settings_of(config: ServerConfig) -> PlannerSettings:
    """Return what the planner needs of the configuration."""
    alerts = config.alerts

    def channels(alert: PlannedAlert) -> Sequence[str]:
        return route(config, alert.seen_by_globs(has_tags=False)).channels

    def key(alert: PlannedAlert) -> str:
        if alerts.group_by == AUTO:
            return conversations.of_rule(alert.rule)
        text = json.dumps(list(_named(config, alert).values()), ensure_ascii=False)
        if len(text) <= conversations.LONGEST_KEY:
            return text
        return hashlib.sha256(text.encode()).hexdigest()

    return PlannerSettings(
        channels=tuple(config.channels),
        route=channels,
        key=key,
        wait_ms=round(alerts.group_wait * 1000),
        interval_ms=round(alerts.group_interval * 1000),
        repeat_ms=round(alerts.repeat_interval * 1000),
        rate=alerts.messages_per_minute,
        is_auto=alerts.group_by == AUTO,
        flap=FlapSettings(
            window=alerts.flap.window,
            high=alerts.flap.high,
            low=alerts.flap.low,
            interval_ms=round(alerts.group_interval * 1000),
        ),
    )


def values(config: ServerConfig, key: str, alert: PlannedAlert) -> Mapping[str, str]:
    """Return what the alerts of a group with this key have in common; one of them is given."""
    if key == STORM:
        return {}
    found = conversations.values(key)
    if found is not None:
        return found
    if config.alerts.group_by != AUTO:
        return _named(config, alert)
    if key.startswith("["):
        return _guessed(json.loads(key), alert)
    return {"rule": alert.rule}  # what was over before anybody heard of it


def _named(config: ServerConfig, alert: PlannedAlert) -> dict[str, str]:
    """Return what ``group_by`` names, ``""`` for a label that an alert does not have."""
    seen = alert.seen_by_globs(has_tags=False)
    return {name: seen.get(name, "") for name in config.alerts.group_by}


def _guessed(found: Iterable[str], alert: PlannedAlert) -> dict[str, str]:
    """Return the names for values of a group that is open since ``group_by`` was a list."""
    seen = alert.seen_by_globs(has_tags=False)
    properties = ("rule", "server_id", "severity")
    names = [*properties, *sorted(name for name in alert.labels if name not in properties)]
    guessed: dict[str, str] = {}
    for value in found:
        name = next((it for it in names if it not in guessed and seen[it] == value), None)
        if name is not None:
            guessed[name] = value
    return guessed
