"""Plans notifications. Pure: it knows no clock, no database and no socket.

A new group is notified ``group_wait`` after its first alert. In an open one, new alerts and ends
wait until ``group_interval`` after the last message; an increased severity, and the end of all that
was notified, go at once. Never more than ``rate`` messages a minute go to a channel: the most
severe first, and what does not fit is gathered; a critical one goes whatever there is room for, in
one message with others where they do not fit. New groups that would not fit share one message,
the storm, and stay together from then on.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from hostpulse_server.notifications.planner.gathering import Gathering, Given
from hostpulse_server.notifications.planner.groups import GroupState, due_ms, fold, message
from hostpulse_server.notifications.planner.muting import Muter
from hostpulse_server.notifications.planner.state import (
    RANKS,
    STORM,
    NotificationGroup,
    NotificationPlan,
    Suppression,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hostpulse_server.notifications.planner.state import (
        NotificationLogEntry,
        PlannedAlert,
        PlannerInput,
        PlannerSettings,
    )

# how soon to look again when a channel has had its share of messages
BUSY_MS: Final = 1_000
_ORDER: Final = {
    "firing": 0,
    "update": 0,
    "flapping": 0,
    "resolved": 1,
    "was": 1,
    "steady": 1,
    "repeat": 2,
}


def plan(planner_input: PlannerInput, settings: PlannerSettings) -> NotificationPlan:
    """Return what is to be written now."""
    found = NotificationPlan()
    firing = [alert for alert in planner_input.alerts if not alert.is_over]
    mutes = Muter(firing, planner_input.silences, planner_input.now_ms)
    routed: defaultdict[str, list[PlannedAlert]] = defaultdict(list)
    for alert in firing:
        channels = settings.route(alert)
        why = mutes.suppression(alert) if channels else Suppression("no_route")
        for channel in channels or ("",):
            if why is None:
                routed[channel].append(alert)
            else:
                found.suppressed[alert.id, channel] = why
    log: defaultdict[str, list[NotificationLogEntry]] = defaultdict(list)
    for entry in planner_input.log:
        log[entry.channel].append(entry)
    groups: defaultdict[str, dict[int, NotificationGroup]] = defaultdict(dict)
    for group in planner_input.groups:
        groups[group.channel][group.id or 0] = group
    for channel in settings.channels:
        one = _Channel(channel, planner_input, settings, mutes, found)
        one.gather(groups[channel], log[channel], routed[channel])
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
        routed: Sequence[PlannedAlert],
    ) -> None:
        """Find what belongs to each group."""
        gathering = Gathering(self._name, self._input, self._settings, self._mutes, self._plan)
        self._members = gathering.gather(Given(groups, log, routed))

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
                self._suppress(members, _waits_for(members), time_ms)
            self._keep(members)
        room = max(0, self._settings.rate - self._input.spent.get(self._name, 0))
        chosen, waiting = self._choose(due, room)
        for members in chosen:
            self._plan.messages.append(message(members, self._settings, now_ms))
        for members in waiting:
            self._plan.look_at(now_ms + BUSY_MS)
            self._suppress(members, "messages_per_minute")
            self._keep(members)

    def _suppress(self, members: GroupState, reason: str, until_ms: int | None = None) -> None:
        """Note why what a group has to send is not sent now."""
        waiting = [*members.new, *members.more_severe]
        self._plan.suppress(waiting, self._name, Suppression(reason, until_ms=until_ms))

    def _keep(self, members: GroupState) -> None:
        """Remember since when a group waits."""
        if members.group.id is None:
            self._plan.opened.append(members.group)

    def _is_dead(self, members: GroupState) -> bool:
        """Close a group without a message if nothing is left of it."""
        if members.group.notified_ms is None:
            is_dead = not (members.new or members.flaps or members.is_owed)
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
        if len(due) <= room:
            return due, []
        urgent = [one for one in due if self._is_urgent(one)]
        if len(urgent) > room:
            return self._hasten(urgent, room), [one for one in due if one not in urgent]
        if room == 0:
            return [], due
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
        first += [one for one in left if one in urgent]
        return [*first, fold(group, folded, storm)], [one for one in left if one not in urgent]

    def _is_urgent(self, members: GroupState) -> bool:
        """Return whether it tells of something critical."""
        one = message(members, self._settings, self._input.now_ms)
        return one.kind in {"firing", "update"} and one.rank == RANKS["critical"]

    def _hasten(self, urgent: list[GroupState], room: int) -> Sequence[GroupState]:
        """Return what tells of all this now, more than there is room for, in few messages."""
        storm = next((one for one in self._members if one.group.key == STORM), None)
        new = [one for one in urgent if one.group.notified_ms is None and not one.is_owed]
        new = [one for one in new if one is not storm]
        known = [one for one in urgent if one not in new and one is not storm]
        alone = max(0, room - 1)
        folded = new[alone:]
        if not folded:
            return urgent
        if len(folded) == 1 and storm is None:
            return [*known, *new]
        self._plan.dropped += [one.group for one in folded if one.group.id is not None]
        group = (
            storm.group
            if storm
            else NotificationGroup(self._name, STORM, wanted_ms=self._input.now_ms)
        )
        return [*known, *new[:alone], fold(group, folded, storm)]

    def _order(self, members: GroupState) -> tuple[int, int, int]:
        one = message(members, self._settings, self._input.now_ms)
        since_ms = members.group.notified_ms or members.group.wanted_ms
        order = _ORDER["resolved" if one.is_partial or one.is_fall else one.kind]
        return order, -one.rank, since_ms


def _waits_for(members: GroupState) -> str:
    """Return what a group that is not due yet waits for, as the configuration calls it."""
    is_first = members.group.notified_ms is None and not members.hold
    return "group_wait" if is_first else "group_interval"
