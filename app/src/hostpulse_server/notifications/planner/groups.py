"""The state of a group of one channel: which alerts are new, which are over, what is due when."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hostpulse_server.notifications.planner import conversations
from hostpulse_server.notifications.planner.state import (
    RANKS,
    STORM,
    MessageKind,
    NotificationGroup,
    NotificationLogEntry,
    PlannedAlert,
    PlannedMessage,
    PlannerSettings,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostpulse_server.notifications.planner.flapping import FlappingAlert

_CRITICAL: Final = RANKS["critical"]


@dataclass(slots=True)
class GroupState:
    """A group with its alerts.

    ``new`` fire, are not muted and were not notified; ``hold`` has until when those wait that were
    over only lately. ``notified`` fire and were notified, ``speaking`` are those of them that are
    routed here and not muted; ``ended`` were notified and are over, ``muted_ends`` under a
    silence. ``less_severe`` were notified with a higher severity, and are not muted, wherever they
    are routed now. ``reminders`` are those whose silence has ended since. ``flaps`` begin to flap,
    of ``flapping`` the channel knows, and ``steady`` are no longer, of which it is to know.
    """

    group: NotificationGroup
    new: list[PlannedAlert] = field(default_factory=list)
    hold: dict[int, int] = field(default_factory=dict)
    notified: list[tuple[PlannedAlert, NotificationLogEntry]] = field(default_factory=list)
    speaking: list[tuple[PlannedAlert, NotificationLogEntry]] = field(default_factory=list)
    ended: list[tuple[PlannedAlert, NotificationLogEntry]] = field(default_factory=list)
    muted_ends: list[tuple[PlannedAlert, NotificationLogEntry]] = field(default_factory=list)
    less_severe: list[PlannedAlert] = field(default_factory=list)
    reminders: list[PlannedAlert] = field(default_factory=list)
    flaps: list[FlappingAlert] = field(default_factory=list)
    flapping: list[FlappingAlert] = field(default_factory=list)
    steady: list[FlappingAlert] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is no alert in the group, notified or to be notified."""
        ends = self.ended or self.muted_ends
        return not (self.new or self.notified or ends or self.flaps or self.flapping)

    @property
    def is_owed(self) -> bool:
        """Whether nothing was notified of alerts that are over, and is to be."""
        return self.group.notified_ms is None and bool(self.ended)

    @property
    def is_over(self) -> bool:
        """Whether all that was notified is over, and nothing of it fires again."""
        again = {one.fingerprint for one in self.new}
        return bool(self.ended) and not (
            self.notified
            or self.flaps
            or self.flapping
            or any(one.fingerprint in again for one, _ in self.ended)
        )

    @property
    def steady_firing(self) -> list[PlannedAlert]:
        """The alerts that flapped and go on firing."""
        return [flap.alert for flap in self.steady if not flap.alert.is_over]

    @property
    def more_severe(self) -> list[PlannedAlert]:
        """The notified alerts whose severity has increased since."""
        return [one for one, entry in self.speaking if one.rank > RANKS.get(entry.severity, 0)]


def due_ms(members: GroupState, settings: PlannerSettings, now_ms: int) -> int | None:
    """Return when a group has something to send, ``None`` if it has nothing."""
    group = members.group
    if group.notified_ms is None:
        ready_ms = group.wanted_ms + settings.wait_ms
        if members.is_owed or members.flaps:
            return ready_ms
        return min(
            (max(ready_ms, members.hold.get(one.id, 0)) for one in members.new), default=None
        )
    if members.flaps or members.steady_firing or members.more_severe or members.reminders:
        return now_ms
    if members.is_over or _rises(members):
        return now_ms
    moments = []
    if _is_grave(members):
        moments.append(group.notified_ms + settings.wait_ms)
    if members.new or members.ended or members.less_severe:
        moments.append(group.notified_ms + settings.interval_ms)
    if any(one.acknowledged_until_ms <= now_ms for one, _ in members.speaking):
        moments.append(group.notified_ms + settings.repeat_ms)
    return min(moments, default=None)


def _rises(members: GroupState) -> bool:
    """Return whether a new alert is more severe than every notified one that still fires.

    A host that is down must not wait because an agent elsewhere was stopped a minute ago.
    """
    notified = max((RANKS.get(entry.severity, 0) for _, entry in members.notified), default=None)
    return notified is not None and any(one.rank > notified for one in _unknown(members))


def _is_grave(members: GroupState) -> bool:
    """Return whether a host has another critical alert: one that is known does not hide it."""
    return conversations.is_of_host(members.group.key) and any(
        one.rank == _CRITICAL for one in _unknown(members)
    )


def _unknown(members: GroupState) -> Iterable[PlannedAlert]:
    """Yield new alerts that are not old ones which have come back."""
    known = {one.fingerprint for one, _ in (*members.ended, *members.muted_ends)}
    return (
        one for one in members.new if one.fingerprint not in known and one.id not in members.hold
    )


def message(members: GroupState, settings: PlannerSettings, now_ms: int) -> PlannedMessage:
    """Gather what a group has to send into one message."""
    group, ends = members.group, [one for one, _ in members.ended]
    if members.is_owed:
        return PlannedMessage(group, "was", [], ends, closes=True)
    # what is new comes to a storm only with the message about it
    grows = group.key == STORM and bool(members.new)
    if group.notified_ms is not None and members.is_over and not grows:
        closes = not members.muted_ends
        return PlannedMessage(group, "resolved", [], ends, closes=closes, steady=members.steady)
    flaps = [flap.alert for flap in members.flaps]
    risen = [*flaps, *members.new, *members.more_severe]
    steady = members.steady_firing
    news = list({one.id: one for one in (*risen, *members.less_severe, *steady)}.values())
    again = {one.fingerprint for one in members.new}
    superseded = [one for one in ends if one.fingerprint in again]
    ends = [one for one in ends if one.fingerprint not in again]
    if news:
        kind: MessageKind = "firing" if group.notified_ms is None else "update"
        if len(news) == len(flaps):
            kind = "flapping"
        elif len(news) == len(steady):
            kind = "steady"
        before = {one.id: entry.severity for one, entry in members.notified}
        is_more = len(risen) > len(flaps)
        planned = PlannedMessage(
            group,
            kind,
            news,
            ends,
            [*superseded, *(other for flap in members.flaps for other in flap.others)],
            still=[] if is_more else [*flaps, *_still(members)],
            before=before,
            is_fall=not risen,
            begun=members.flaps,
        )
    elif repeated := _repeated(members, settings, now_ms):
        planned = PlannedMessage(group, "repeat", repeated, ends, superseded)
    else:
        planned = PlannedMessage(group, "update", [], ends, superseded, still=_still(members))
    planned.flapping, planned.steady = members.flapping, members.steady
    return planned


def _still(members: GroupState) -> list[PlannedAlert]:
    """Return what goes on, also what flaps and is over at this moment."""
    quiet = [flap.alert for flap in members.flapping if flap.alert.is_over]
    return [*(one for one, _ in members.notified), *quiet]


def _repeated(members: GroupState, settings: PlannerSettings, now_ms: int) -> list[PlannedAlert]:
    notified_ms = members.group.notified_ms
    if notified_ms is None or notified_ms + settings.repeat_ms > now_ms:
        return members.reminders
    return [one for one, _ in members.speaking if one.acknowledged_until_ms <= now_ms]


def fold(
    group: NotificationGroup, parts: Iterable[GroupState], storm: GroupState | None
) -> GroupState:
    """Return one group of what is too much to be sent one by one."""
    whole = dataclasses.replace(storm) if storm else GroupState(group)
    parts = list(parts)
    whole.new = [*whole.new, *(one for part in parts for one in part.new)]
    whole.flaps = [*whole.flaps, *(one for part in parts for one in part.flaps)]
    return whole
