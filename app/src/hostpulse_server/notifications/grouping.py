"""The configuration as the planner needs it: routes, groups, times."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from hostpulse_server.notifications.planner.state import PlannerSettings
from hostpulse_server.notifications.routing import route

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostpulse_server.config import ServerConfig
    from hostpulse_server.notifications.planner.state import PlannedAlert

_LONGEST_KEY: Final = 1024


def settings_of(config: ServerConfig) -> PlannerSettings:
    """Return what the planner needs of the configuration."""
    alerts = config.alerts

    def channels(alert: PlannedAlert) -> Sequence[str]:
        return route(config, alert.seen_by_globs(has_tags=False)).channels

    def key(alert: PlannedAlert) -> str:
        text = json.dumps(list(values(config, alert).values()), ensure_ascii=False)
        if len(text) <= _LONGEST_KEY:
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
    )


def values(config: ServerConfig, alert: PlannedAlert) -> dict[str, str]:
    """Return what ``group_by`` names, ``""`` for a label that an alert does not have."""
    seen = alert.seen_by_globs(has_tags=False)
    return {name: seen.get(name, "") for name in config.alerts.group_by}
