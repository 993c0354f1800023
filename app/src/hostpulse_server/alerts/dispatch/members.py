"""What a group of one channel comes to: who is new in it, what is over, what is due and when."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hostpulse_server.alerts.dispatch.book import (
    RANKS,
    STORM,
    Alert,
    Group,
    Message,
    MessageKind,
    Settings,
    Telling,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class Members:
    """A group with its alerts.

    ``new`` fire, are not muted and were not told; ``hold`` says until when those wait that were
    over only lately. ``told`` fire and were told, ``speaking`` are those of them that are routed
    here and not muted; ``ended`` were told and are over, ``quiet_ends`` under a silence.
    ``reminders`` are those whose silence has ended since.
    """

    group: Group
    new: list[Alert] = field(default_factory=list)
    hold: dict[int, int] = field(default_factory=dict)
    told: list[tuple[Alert, Telling]] = field(default_factory=list)
    speaking: list[tuple[Alert, Telling]] = field(default_factory=list)
    ended: list[tuple[Alert, Telling]] = field(default_factory=list)
    quiet_ends: list[tuple[Alert, Telling]] = field(default_factory=list)
    reminders: list[Alert] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Tell whether there is no alert in the group, told or to be told."""
        return not (self.new or self.told or self.ended or self.quiet_ends)

    @property
    def is_over(self) -> bool:
        """Tell whether all that was told is over."""
        return bool(self.ended) and not self.told

    @property
    def graver(self) -> list[Alert]:
        """The told alerts that have become more serious than they were told."""
        return [one for one, telling in self.speaking if one.rank > RANKS.get(telling.severity, 0)]


def due_ms(members: Members, settings: Settings, now_ms: int) -> int | None:
    """Return when a group has something to tell, ``None`` if it has nothing."""
    group = members.group
    if group.told_ms is None:
        ready_ms = group.wanted_ms + settings.wait_ms
        return min(
            (max(ready_ms, members.hold.get(one.id, 0)) for one in members.new), default=None
        )
    if members.graver or members.reminders or members.is_over or _rises(members):
        return now_ms
    moments = []
    if members.new or members.ended:
        moments.append(group.told_ms + settings.interval_ms)
    if any(one.acknowledged_until_ms <= now_ms for one, _ in members.speaking):
        moments.append(group.told_ms + settings.repeat_ms)
    return min(moments, default=None)


def _rises(members: Members) -> bool:
    """Tell whether a new alert is more serious than all that was told of the group and lasts.

    A host that is down must not wait because an agent elsewhere was stopped a minute ago.
    """
    told = max((RANKS.get(telling.severity, 0) for _, telling in members.told), default=None)
    known = {one.fingerprint for one, _ in (*members.ended, *members.quiet_ends)}
    return told is not None and any(
        one.rank > told and one.fingerprint not in known for one in members.new
    )


def message(members: Members, settings: Settings, now_ms: int) -> Message:
    """Gather what a group has to tell into one message."""
    group, ends = members.group, [one for one, _ in members.ended]
    # what is new comes to a storm only with the message that tells of it
    grows = group.key == STORM and bool(members.new)
    if group.told_ms is not None and members.is_over and not grows:
        closes = not members.quiet_ends
        return Message(group, "resolved", [], ends, closes=closes)
    news = [*members.new, *members.graver]
    again = {one.fingerprint for one in members.new}
    superseded = [one for one in ends if one.fingerprint in again]
    ends = [one for one in ends if one.fingerprint not in again]
    if news:
        kind: MessageKind = "firing" if group.told_ms is None else "update"
        return Message(group, kind, news, ends, superseded)
    repeated = _repeated(members, settings, now_ms)
    if repeated:
        return Message(group, "repeat", repeated, ends, superseded)
    return Message(group, "resolved", [], ends, superseded)


def _repeated(members: Members, settings: Settings, now_ms: int) -> list[Alert]:
    told_ms = members.group.told_ms
    if told_ms is None or told_ms + settings.repeat_ms > now_ms:
        return members.reminders
    return [one for one, _ in members.speaking if one.acknowledged_until_ms <= now_ms]


def fold(group: Group, parts: Iterable[Members], storm: Members | None) -> Members:
    """Return one group of what is too much to be told one by one."""
    whole = dataclasses.replace(storm) if storm else Members(group)
    whole.new = [*whole.new, *(one for part in parts for one in part.new)]
    return whole
