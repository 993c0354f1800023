"""Flapping: alerts that fire and end again and again, as Icinga has it; pure.

Icinga looks at the last 20 states and uses 30 and 25 %
(https://icinga.com/docs/icinga-2/latest/doc/08-advanced-topics/#check-flapping). Alerts have no
checks to count, so one state is a ``group_interval`` of time: an alert flaps that has changed in
a share ``high`` of the last ``window`` intervals. It is steady again below the share ``low``, or
once it has not changed for 1 / ``low`` intervals, which is how far apart changes are at that rate:
an alert that stays firing must not wait for the whole window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hostpulse_server.notifications.planner.state import newest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hostpulse_server.notifications.planner.muting import Muter
    from hostpulse_server.notifications.planner.state import (
        FlapSettings,
        NotificationLogEntry,
        PlannedAlert,
        PlannerInput,
        PlannerSettings,
    )

# what a channel is to know of an alert: that it begins to flap, nothing while it goes on, that it
# is steady again
FlapState = Literal["begins", "goes on", "is steady"]


def until_ms(times: Sequence[int], settings: FlapSettings, *, was: bool) -> int | None:
    """Return until when an alert flaps that changed at these times, ``None`` if it does not.

    ``was`` is whether it flapped before; then it takes less to go on. Without another change it
    ends at that time.
    """
    need = math.ceil((settings.low if was else settings.high) * settings.window - 1e-9)
    if settings.window == 0 or len(times) < max(need, 1):
        return None
    least = math.ceil(settings.low * settings.window - 1e-9)
    leaves_ms = times[-max(least, 1)] + settings.span_ms
    return min(leaves_ms, times[-1] + settings.calm_ms)


@dataclass(frozen=True, slots=True)
class FlappingAlert:
    """An alert that flaps or did: ``alert`` is the newest of the fingerprint.

    ``entries`` are those of the notification log that are not over, the newest last, and ``others``
    their alerts but for the newest. ``times`` are when it changed.
    """

    state: FlapState
    alert: PlannedAlert
    entries: Sequence[NotificationLogEntry]
    others: Sequence[PlannedAlert]
    times: Sequence[int]
    until_ms: int = 0


def of_channel(
    name: str,
    planner_input: PlannerInput,
    settings: PlannerSettings,
    mutes: Muter,
    log: Mapping[str, Sequence[NotificationLogEntry]],
    alerts: Mapping[int, PlannedAlert],
) -> dict[str, FlappingAlert]:
    """Return what flaps, or has, of a channel by fingerprint; ``log`` is by fingerprint, too.

    One that begins while it is muted does not yet; one that is muted when it is steady goes on.
    """
    found: dict[str, FlappingAlert] = {}
    known = {it for channel, it in planner_input.flapping if channel == name}
    now_ms, last = planner_input.now_ms, newest(alerts.values())
    for fingerprint in sorted(known | planner_input.changes.keys()):
        alert = last.get(fingerprint)
        if alert is None:
            continue
        since_ms = now_ms - settings.flap.span_ms
        times = [it for it in planner_input.changes.get(fingerprint, ()) if it > since_ms]
        was = fingerprint in known
        end_ms = until_ms(times, settings.flap, was=was)
        is_flapping = end_ms is not None and end_ms > now_ms
        entries = log.get(fingerprint, ())
        is_routed = bool(entries) or name in settings.route(alert)
        is_muted = mutes.is_muted(alert) or not is_routed
        state: FlapState | None
        if was:
            state = "goes on" if is_flapping or (is_muted and not alert.is_over) else "is steady"
        else:
            state = "begins" if is_flapping and not is_muted else None
        if state is not None:
            others = [alerts[one.alert_id] for one in entries if one.alert_id != alert.id]
            found[fingerprint] = FlappingAlert(state, alert, entries, others, times, end_ms or 0)
    return found
