"""Finds what belongs to each group of a channel; pure."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hostpulse_server.notifications.planner import conversations, flapping
from hostpulse_server.notifications.planner.groups import GroupState
from hostpulse_server.notifications.planner.state import RANKS, NotificationGroup, Suppression
from hostpulse_server.values.alert import NO_SERVER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hostpulse_server.notifications.planner.flapping import FlappingAlert
    from hostpulse_server.notifications.planner.muting import Muter
    from hostpulse_server.notifications.planner.state import (
        NotificationLogEntry,
        NotificationPlan,
        PlannedAlert,
        PlannerInput,
        PlannerSettings,
    )


@dataclass(frozen=True, slots=True)
class Given:
    """What is open of a channel, and the alerts that are routed to it and not muted."""

    groups: Mapping[int, NotificationGroup]
    log: Sequence[NotificationLogEntry]
    routed: Sequence[PlannedAlert]


@dataclass
class Gathering:
    """One pass over a channel; what it finds needs no message goes into the plan."""

    name: str
    planner_input: PlannerInput
    settings: PlannerSettings
    mutes: Muter
    plan: NotificationPlan
    _by_id: dict[int, GroupState] = field(default_factory=dict)
    _by_key: dict[str, GroupState] = field(default_factory=dict)
    _speaking: set[int] = field(default_factory=set)

    def gather(self, given: Given) -> list[GroupState]:
        """Return the groups with their alerts."""
        self._by_id = {number: GroupState(group) for number, group in given.groups.items()}
        self._by_key = {members.group.key: members for members in self._by_id.values()}
        self._speaking = {alert.id for alert in given.routed}
        alerts = {alert.id: alert for alert in self.planner_input.alerts}
        entries: defaultdict[str, list[NotificationLogEntry]] = defaultdict(list)
        for entry in given.log:
            alert = alerts.get(entry.alert_id)
            if alert is None or entry.group_id not in self._by_id:
                self.plan.forgotten.append(entry)
            else:
                entries[alert.fingerprint].append(entry)
        flaps = self._flaps(entries, alerts)
        starting = self._hold(flaps)
        known = {flap.alert.id for flap in flaps.values()}
        for fingerprint, ones in entries.items():
            for entry in ones if fingerprint not in flaps else ():
                known.add(entry.alert_id)
                self._place(alerts[entry.alert_id], entry, self._by_id[entry.group_id])
        new = [alert for alert in given.routed if alert.id not in known]
        begun = {flap.alert.id: flap for flap in starting}
        for alert, key in self._grouped([*new, *(flap.alert for flap in starting)]):
            members = self._group(alert, key)
            if alert.id in begun:
                members.flaps.append(begun[alert.id])
            else:
                self._add(alert, members)
        return list(self._by_key.values())

    def _flaps(
        self,
        entries: Mapping[str, Sequence[NotificationLogEntry]],
        alerts: Mapping[int, PlannedAlert],
    ) -> Mapping[str, FlappingAlert]:
        """Return what flaps, or has, by fingerprint; what was never notified can but begin."""
        notified = {
            fingerprint: sorted(ones, key=lambda one: one.alert_id)
            for fingerprint, ones in entries.items()
            if all(self._by_id[one.group_id].group.notified_ms is not None for one in ones)
        }
        owed = entries.keys() - notified.keys()
        found = flapping.of_channel(
            self.name,
            self.planner_input,
            self.settings,
            self.mutes,
            notified,
            alerts,
        )
        return {name: one for name, one in found.items() if name not in owed}

    def _hold(self, flaps: Mapping[str, FlappingAlert]) -> list[FlappingAlert]:
        """Put what flaps into the group where it was notified; return what was in none."""
        starting = []
        for fingerprint, flap in flaps.items():
            kept = self.planner_input.kept.get((self.name, fingerprint))
            last = flap.entries[-1] if flap.entries else kept
            members = self._by_id.get(last.group_id) if last else None
            if flap.state != "is steady" and flap.until_ms > self.planner_input.now_ms:
                self.plan.look_at(flap.until_ms)
            if last is None or members is None or members.group.notified_ms is None:
                if flap.state == "begins":
                    starting.append(flap)
            elif flap.state == "begins":
                members.flaps.append(flap)
            else:
                self._go_on(flap, last, members)
        return starting

    def _go_on(self, flap: FlappingAlert, last: NotificationLogEntry, members: GroupState) -> None:
        """Let the newest alert take the place of those before, without a message."""
        alert = flap.alert
        entry = next((one for one in flap.entries if one.alert_id == alert.id), None)
        self.plan.forgotten += [one for one in flap.entries if one.alert_id != alert.id]
        if entry is None:
            entry = dataclasses.replace(last, alert_id=alert.id)
            self.plan.adopted.append(entry)
        if flap.state == "is steady":
            if not self.mutes.is_muted(alert):
                members.steady.append(flap)
            self._place(alert, entry, members)
            return
        members.flapping.append(flap)
        if not alert.is_over:
            self.plan.suppress([alert], self.name, Suppression("flap", until_ms=flap.until_ms))
            self._place(alert, entry, members, is_flapping=True)

    def _place(
        self,
        alert: PlannedAlert,
        entry: NotificationLogEntry,
        members: GroupState,
        *,
        is_flapping: bool = False,
    ) -> None:
        if alert.is_over:
            silence = self.mutes.silence(alert)
            is_muted = silence is not None
            if silence is not None:
                why = Suppression("silence", silence.id, silence.end_ms)
                self.plan.suppress([alert], self.name, why)
            if members.group.notified_ms is None and alert.is_revised:
                is_muted = True  # nobody has heard of it, and it never was
            (members.muted_ends if is_muted else members.ended).append((alert, entry))
            return
        members.notified.append((alert, entry))
        is_less = alert.rank < RANKS.get(entry.severity, 0) and not is_flapping
        if is_less and not self.mutes.is_muted(alert):
            members.less_severe.append(alert)
        if alert.id not in self._speaking:
            return
        members.speaking.append((alert, entry))
        until_ms = alert.acknowledged_until_ms
        if until_ms > self.planner_input.now_ms:
            self.plan.look_at(until_ms)
            return
        least_ms = self.settings.interval_ms
        if self.mutes.silenced_until(alert, entry.notified_ms, least_ms) is not None:
            members.reminders.append(alert)

    def _grouped(self, new: Sequence[PlannedAlert]) -> Iterable[tuple[PlannedAlert, str]]:
        """Yield alerts that were not notified, each with the key of its group."""
        if not self.settings.is_auto:
            yield from ((alert, self.settings.key(alert)) for alert in new)
            return
        notified = {
            number: members.group.key
            for number, members in self._by_id.items()
            if members.group.notified_ms is not None
        }
        lately, others = self._lately(), []
        for alert in new:
            entry = self.planner_input.kept.get((self.name, alert.fingerprint))
            if entry is not None and entry.group_id in notified:
                lately[alert.rule].add(alert.server_id)
                yield alert, notified[entry.group_id]
            else:
                others.append(alert)
        keys = conversations.choose(others, frozenset(notified.values()), lately)
        yield from ((alert, keys[alert.id]) for alert in others)

    def _lately(self) -> defaultdict[str, set[str]]:
        """Return the servers of notified alerts that began to fire not long ago, by rule."""
        since_ms = self.planner_input.now_ms - self.settings.wait_ms - self.settings.interval_ms
        found: defaultdict[str, set[str]] = defaultdict(set)
        for members in self._by_id.values():
            for alert, _ in members.notified:
                if alert.fired_ms > since_ms and alert.server_id != NO_SERVER:
                    found[alert.rule].add(alert.server_id)
        return found

    def _group(self, alert: PlannedAlert, key: str) -> GroupState:
        """Return the group of an alert that was not notified, a new one if there is none."""
        members = self._by_key.get(key)
        if members is None:
            group = NotificationGroup(self.name, key, wanted_ms=self.planner_input.now_ms)
            members = self._by_key[key] = GroupState(group)
        if self.settings.is_auto and members.group.notified_ms is None:
            members.group = _waiting(members.group, alert, self._by_key)
        return members

    def _add(self, alert: PlannedAlert, members: GroupState) -> None:
        members.new.append(alert)
        back = self.planner_input.returns.get((self.name, alert.fingerprint))
        if back and alert.rank <= RANKS.get(back.severity, 0):
            members.hold[alert.id] = back.notified_ms + self.settings.interval_ms


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
