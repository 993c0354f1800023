"""Plans notifications. Pure: it knows no clock, no database and no socket.

A new group is notified ``group_wait`` after its first alert. In an open one, new alerts and ends
wait until ``group_interval`` after the last message; an increased severity, and the end of all that
was notified, go at once. Never more than ``rate`` messages a minute go to a channel: the most
severe first, and what does not fit is gathered. New groups that would not fit share one message,
the storm, and stay together from then on.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from hostpulse_server.notifications.planner import conversations
from hostpulse_server.notifications.planner.groups import GroupState, due_ms, fold, message
from hostpulse_server.notifications.planner.muting import Muter
from hostpulse_server.notifications.planner.state import (
    RANKS,
    STORM,
    NotificationGroup,
    NotificationPlan,
)
from hostpulse_server.values.alert import NO_SERVER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hostpulse_server.notifications.planner.state import (
        NotificationLogEntry,
        PlannedAlert,
        PlannerInput,
        PlannerSettings,
    )

# how soon to look again when a channel has had its share of messages
BUSY_MS: Final = 1_000
_ORDER: Final = {"firing": 0, "update": 0, "resolved": 1, "was": 1, "repeat": 2}


def plan(planner_input: PlannerInput, settings: PlannerSettings) -> NotificationPlan:
    """Return what is to be written now."""
    found = NotificationPlan()
    firing = [alert for alert in planner_input.alerts if not alert.is_over]
    mutes = Muter(firing, planner_input.silences, planner_input.now_ms)
    routed: defaultdict[str, list[PlannedAlert]] = defaultdict(list)
    for alert in firing:
        channels = settings.route(alert)
        if channels and not mutes.is_muted(alert):
            for channel in channels:
                routed[channel].append(alert)
    log: defaultdict[str, list[NotificationLogEntry]] = defaultdict(list)
    for entry in planner_input.log:
        log[entry.channel].append(entry)
    groups: defaultdict[str, dict[int, NotificationGroup]] = defaultdict(dict)
    for group in planner_input.groups:
        groups[group.channel][group.id or 0] = group
    by_id = {alert.id: alert for alert in planner_input.alerts}
    for channel in settings.channels:
        one = _Channel(channel, planner_input, settings, mutes, found)
        one.gather(groups[channel], log[channel], by_id, routed[channel])
        one.decide()
    for channel in (groups.keys() | log.keys()) - set(settings.channels):
        found.forgotten += log[channel]
        found.closed += groups[channel].values()
    for boundary in (time for one in planner_input.silences for time in (one.start_ms, one.end_ms)):
        if boundary > planner_input.now_ms:
            found.look_at(boundary)
    return found


class _Channel:
    """The groups of one channel."""

    def __init__(
        self,
        name: str,
        planner_input: PlannerInput,
        settings: PlannerSettings,
        mutes: Muter,
        found: NotificationPlan,
    ) -> None:
        self._name = name
        self._input = planner_input
        self._settings = settings
        self._mutes = mutes
        self._plan = found
        self._members: list[GroupState] = []

    def gather(
        self,
        groups: Mapping[int, NotificationGroup],
        log: Sequence[NotificationLogEntry],
        alerts: Mapping[int, PlannedAlert],
        routed: Sequence[PlannedAlert],
    ) -> None:
        """Find what belongs to each group."""
        by_id = {group_id: GroupState(group) for group_id, group in groups.items()}
        speaking = {alert.id for alert in routed}
        known = set()
        for entry in log:
            alert, members = alerts.get(entry.alert_id), by_id.get(entry.group_id)
            if alert is None or members is None:
                self._plan.forgotten.append(entry)
                continue
            known.add(alert.id)
            self._place(alert, entry, members, is_speaking=alert.id in speaking)
        by_key = {members.group.key: members for members in by_id.values()}
        new = [alert for alert in routed if alert.id not in known]
        for alert, key in self._grouped(new, by_id):
            self._add(alert, key, by_key)
        self._members = list(by_key.values())

    def _grouped(
        self, new: Sequence[PlannedAlert], by_id: Mapping[int, GroupState]
    ) -> Iterable[tuple[PlannedAlert, str]]:
        """Yield alerts that were not notified, each with the key of its group."""
        if not self._settings.is_auto:
            yield from ((alert, self._settings.key(alert)) for alert in new)
            return
        notified = {
            number: members.group.key
            for number, members in by_id.items()
            if members.group.notified_ms is not None
        }
        lately, others = self._lately(by_id.values()), []
        for alert in new:
            entry = self._input.kept.get((self._name, alert.fingerprint))
            if entry is not None and entry.group_id in notified:
                lately[alert.rule].add(alert.server_id)
                yield alert, notified[entry.group_id]
            else:
                others.append(alert)
        keys = conversations.choose(others, frozenset(notified.values()), lately)
        yield from ((alert, keys[alert.id]) for alert in others)

    def _lately(self, groups: Iterable[GroupState]) -> defaultdict[str, set[str]]:
        """Return the servers of notified alerts that began to fire not long ago, by rule."""
        since_ms = self._input.now_ms - self._settings.wait_ms - self._settings.interval_ms
        found: defaultdict[str, set[str]] = defaultdict(set)
        for members in groups:
            for alert, _ in members.notified:
                if alert.fired_ms > since_ms and alert.server_id != NO_SERVER:
                    found[alert.rule].add(alert.server_id)
        return found

    def _place(
        self,
        alert: PlannedAlert,
        entry: NotificationLogEntry,
        members: GroupState,
        *,
        is_speaking: bool,
    ) -> None:
        if alert.is_over:
            is_muted = self._mutes.is_silenced(alert)
            if members.group.notified_ms is None and alert.is_revised:
                is_muted = True  # nobody has heard of it, and it never was
            (members.muted_ends if is_muted else members.ended).append((alert, entry))
            return
        members.notified.append((alert, entry))
        if alert.rank < RANKS.get(entry.severity, 0) and not self._mutes.is_muted(alert):
            members.less_severe.append(alert)
        if not is_speaking:
            return
        members.speaking.append((alert, entry))
        until_ms = alert.acknowledged_until_ms
        if until_ms > self._input.now_ms:
            self._plan.look_at(until_ms)
            return
        least_ms = self._settings.interval_ms
        if self._mutes.silenced_until(alert, entry.notified_ms, least_ms) is not None:
            members.reminders.append(alert)

    def _add(self, alert: PlannedAlert, key: str, by_key: dict[str, GroupState]) -> None:
        """Put an alert that was not notified into its group, a new one if there is none."""
        members = by_key.get(key)
        if members is None:
            group = NotificationGroup(self._name, key, wanted_ms=self._input.now_ms)
            members = by_key[key] = GroupState(group)
        if self._settings.is_auto and members.group.notified_ms is None:
            members.group = _waiting(members.group, alert, by_key)
        members.new.append(alert)
        back = self._input.returns.get((self._name, alert.fingerprint))
        if back and alert.rank <= RANKS.get(back.severity, 0):
            members.hold[alert.id] = back.notified_ms + self._settings.interval_ms

    def decide(self) -> None:
        """Choose what goes out now."""
        now_ms, due = self._input.now_ms, []
        for members in self._members:
            if self._is_dead(members):
                continue
            time_ms = due_ms(members, self._settings, now_ms)
            if time_ms is not None and time_ms <= now_ms:
                due.append(members)
                continue
            if time_ms is not None:
                self._plan.look_at(time_ms)
            self._keep(members)
        room = max(0, self._settings.rate - self._input.spent.get(self._name, 0))
        chosen, waiting = self._choose(due, room)
        for members in chosen:
            self._plan.messages.append(message(members, self._settings, now_ms))
        for members in waiting:
            self._plan.look_at(now_ms + BUSY_MS)
            self._keep(members)

    def _keep(self, members: GroupState) -> None:
        """Remember since when a group waits."""
        if members.group.id is None:
            self._plan.opened.append(members.group)

    def _is_dead(self, members: GroupState) -> bool:
        """Close a group without a message if nothing is left of it."""
        if members.group.notified_ms is None:
            is_dead = not (members.new or members.is_owed)
            if is_dead:
                self._plan.dropped.append(members.group)
            return is_dead
        if members.is_empty:
            self._plan.closed.append(members.group)
        return members.is_empty

    def _choose(
        self, due: list[GroupState], room: int
    ) -> tuple[Sequence[GroupState], Sequence[GroupState]]:
        """Return which groups are notified now and which have to wait."""
        due.sort(key=self._order)
        if len(due) <= room or room == 0:
            return due[:room], due[room:]
        first, rest = due[: room - 1], due[room - 1 :]
        folded = [one for one in rest if one.group.notified_ms is None and not one.is_owed]
        storm = next((one for one in self._members if one.group.key == STORM), None)
        if not folded or (len(folded) == 1 and storm is None) or storm in first:
            return due[:room], due[room:]
        self._plan.dropped += [one.group for one in folded if one.group.id is not None]
        group = (
            storm.group
            if storm
            else NotificationGroup(self._name, STORM, wanted_ms=self._input.now_ms)
        )
        left = [one for one in rest if one not in folded and one is not storm]
        return [*first, fold(group, folded, storm)], left

    def _order(self, members: GroupState) -> tuple[int, int, int]:
        one = message(members, self._settings, self._input.now_ms)
        since_ms = members.group.notified_ms or members.group.wanted_ms
        order = _ORDER["resolved" if one.still else one.kind]
        return order, -one.rank, since_ms


def _waiting(
    group: NotificationGroup, alert: PlannedAlert, by_key: Mapping[str, GroupState]
) -> NotificationGroup:
    """Return a group that waits as long as what its alert was in before: it may have changed."""
    keys = conversations.of_host(alert.server_id), conversations.of_rule(alert.rule)
    others = [by_key[key].group for key in keys if key in by_key]
    wanted_ms = min(
        [group.wanted_ms, *(one.wanted_ms for one in others if one.notified_ms is None)]
    )
    return dataclasses.replace(group, wanted_ms=wanted_ms)
