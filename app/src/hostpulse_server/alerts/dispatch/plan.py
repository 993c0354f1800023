"""Decides from rows who is told what now; pure: knows no clock, database or channel.

An incident is a group of alerts that one channel hears of together, from the first message until
all that was told is over. Times are epoch milliseconds.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from hostpulse_server.alerts.model import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MINUTE_MS = 60_000

Kind = Literal["firing", "update", "repeat", "resolved"]
Place = tuple[str, str]  # a channel and the key of a group


class Settings(NamedTuple):
    """``[alerts]``, in milliseconds; ``rate`` is messages a minute and channel."""

    wait_ms: int
    interval_ms: int
    repeat_ms: int
    rate: int


@dataclass(frozen=True, slots=True)
class Standing:
    """One alert as it stands; ``channels`` are those that its route names."""

    id: int
    fingerprint: str
    severity: str
    key: str
    channels: tuple[str, ...]
    is_firing: bool = True
    is_muted: bool = False
    acknowledged_until_ms: int = 0


class Telling(NamedTuple):
    """What a channel was last told of an alert that it does not know to be over."""

    severity: str
    told_ms: int


@dataclass(frozen=True, slots=True)
class Group:
    """An open incident; ``told_ms`` is ``None`` before its first message."""

    wanted_ms: int | None
    told_ms: int | None


@dataclass(frozen=True, slots=True)
class Message:
    """What is told now; the lists are ids of alerts.

    ``news`` fire and the channel did not know it, or not how serious; ``ended`` are over; ``still``
    are told before and fire on. ``is_last``: the incident is over.
    """

    place: Place
    kind: Kind
    severity: str
    news: tuple[int, ...]
    ended: tuple[int, ...]
    still: tuple[int, ...]

    @property
    def is_last(self) -> bool:
        """Whether nothing of the incident fires any longer."""
        return not self.news and not self.still


@dataclass(frozen=True, slots=True)
class Plan:
    """``wanted``: places with something to tell later, and since when; ``idle``: with no longer.

    ``closed``: incidents of which nothing is left. ``next_ms`` is when to plan again at the
    latest, ``None`` if only a change can bring news.
    """

    messages: Sequence[Message]
    wanted: Mapping[Place, int]
    idle: Sequence[Place]
    closed: Sequence[Place]
    next_ms: int | None


@dataclass(slots=True)
class _Members:
    """The alerts of one place, sorted by what there is to say about them."""

    new: list[Standing] = field(default_factory=list)
    worse: list[Standing] = field(default_factory=list)
    ended: list[Standing] = field(default_factory=list)
    still: list[Standing] = field(default_factory=list)
    told_ms: int = 0

    @property
    def has_news(self) -> bool:
        return bool(self.new or self.worse or self.ended)


@dataclass(frozen=True, slots=True)
class World:
    """All that the planner looks at.

    ``alerts``: those that fire, and those that ended while a channel does not know it.
    ``tellings``: (alert id, channel) → what it was told. ``returns``: (channel, fingerprint) →
    when the end of an earlier alert of that identity was told. ``sent``: channel → times of its
    messages within the last minute, ascending.
    """

    alerts: Sequence[Standing]
    tellings: Mapping[tuple[int, str], Telling]
    groups: Mapping[Place, Group]
    returns: Mapping[tuple[str, str], int]
    sent: Mapping[str, Sequence[int]]


def rank(severity: str) -> int:
    """Return how serious a severity is."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else 0


def plan(now_ms: int, world: World, settings: Settings) -> Plan:
    """Return what to tell at ``now_ms``."""
    places = _sort(world)
    due: list[tuple[int, int, Message]] = []
    wanted: dict[Place, int] = {}
    idle: list[Place] = []
    times: list[int] = []
    for place, members in places.items():
        group = world.groups.get(place)
        if not members.has_news:
            if group is not None and group.wanted_ms is not None:
                idle.append(place)
            repeat_ms = _repeat_at(members, settings)
            if repeat_ms is None:
                continue
            if repeat_ms > now_ms:
                times.append(repeat_ms)
                continue
            due.append((repeat_ms, -1, _message(place, members, "repeat")))
            continue
        since_ms = now_ms if group is None or group.wanted_ms is None else group.wanted_ms
        wanted[place] = since_ms
        at_ms = _due_at(place, members, group, since_ms, world, settings)
        if at_ms > now_ms:
            times.append(at_ms)
        else:
            message = _message(place, members, _kind(members, group))
            due.append((since_ms, rank(message.severity), message))
    messages, later_ms = _within_rate(now_ms, due, world.sent, settings.rate)
    for message in messages:
        wanted.pop(message.place, None)
    closed = [place for place in world.groups if place not in places]
    times += later_ms
    return Plan(messages, wanted, idle, closed, min(times, default=None))


def _sort(world: World) -> dict[Place, _Members]:
    """Return what there is to say, by channel and group."""
    places: dict[Place, _Members] = defaultdict(_Members)
    channels_told: dict[int, list[str]] = defaultdict(list)
    for alert_id, channel in world.tellings:
        channels_told[alert_id].append(channel)
    for alert in world.alerts:
        told = channels_told.get(alert.id, ())
        for channel in dict.fromkeys((*alert.channels, *told)):
            telling = world.tellings.get((alert.id, channel))
            if telling is None:
                if alert.is_firing and not alert.is_muted:
                    places[channel, alert.key].new.append(alert)
                continue
            members = places[channel, alert.key]
            if not alert.is_firing:
                members.ended.append(alert)
            elif rank(alert.severity) > rank(telling.severity) and not alert.is_muted:
                members.worse.append(alert)
            else:
                members.still.append(alert)
            members.told_ms = max(members.told_ms, telling.told_ms)
    return places


def _due_at(
    place: Place,
    members: _Members,
    group: Group | None,
    since_ms: int,
    world: World,
    settings: Settings,
) -> int:
    """Return when the news of a place may go."""
    channel = place[0]
    times = []
    if members.worse:
        times.append(since_ms)
    if members.ended:
        # the end of all goes at once, of some with the next message
        is_all = not (members.new or members.worse or members.still)
        told_ms = group.told_ms if group and group.told_ms is not None else since_ms
        times.append(since_ms if is_all else told_ms + settings.interval_ms)
    for alert in members.new:
        if group is not None and group.told_ms is not None:
            times.append(group.told_ms + settings.interval_ms)
            continue
        at_ms = since_ms + settings.wait_ms
        before_ms = world.returns.get((channel, alert.fingerprint))
        if before_ms is not None:
            at_ms = max(at_ms, before_ms + settings.interval_ms)
        times.append(at_ms)
    return min(times)


def _repeat_at(members: _Members, settings: Settings) -> int | None:
    """Return when to say again that something fires, ``None`` if there is nobody to be told."""
    heard = [alert.acknowledged_until_ms for alert in members.still if not alert.is_muted]
    return max(members.told_ms + settings.repeat_ms, min(heard)) if heard else None


def _kind(members: _Members, group: Group | None) -> Kind:
    if not (members.new or members.worse or members.still):
        return "resolved"
    return "firing" if group is None or group.told_ms is None else "update"


def _message(place: Place, members: _Members, kind: Kind) -> Message:
    said = [*members.new, *members.worse, *members.ended]
    if kind == "repeat":
        said = [alert for alert in members.still if not alert.is_muted]
    return Message(
        place=place,
        kind=kind,
        severity=max((alert.severity for alert in said), key=rank),
        news=tuple(alert.id for alert in (*members.new, *members.worse)),
        ended=tuple(alert.id for alert in members.ended),
        still=tuple(alert.id for alert in members.still),
    )


def _within_rate(
    now_ms: int,
    due: list[tuple[int, int, Message]],
    sent: Mapping[str, Sequence[int]],
    rate: int,
) -> tuple[list[Message], list[int]]:
    """Return the messages that each channel may take now, and when it may take more."""
    left = {
        channel: rate - sum(at > now_ms - MINUTE_MS for at in times)
        for channel, times in sent.items()
    }
    messages, later = [], []
    for _, _, message in sorted(due, key=lambda one: (-one[1], one[0])):
        channel = message.place[0]
        if left.setdefault(channel, rate) > 0:
            left[channel] -= 1
            messages.append(message)
        else:
            recent = [at for at in sent.get(channel, ()) if at > now_ms - MINUTE_MS]
            later.append((recent[0] if recent else now_ms) + MINUTE_MS)
    return messages, later
