"""What the planner is given and what it answers, as plain values; times are epoch milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from hostpulse_server.values.alert import SEVERITIES
from hostpulse_server.values.matchers import properties

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from hostpulse_server.notifications.planner.flapping import FlappingAlert

STORM: Final = ""  # the key of the group for what is too much to be sent one by one

RANKS: Final[Mapping[str, int]] = {severity: rank for rank, severity in enumerate(SEVERITIES)}

MessageKind = Literal["firing", "update", "repeat", "resolved", "was", "flapping", "steady"]


@dataclass(frozen=True, slots=True)
class PlannedAlert:
    """An alert that fires, or one that is over and whose end a channel was not notified of.

    ``series`` is what a rule looks at: server, measurement, field and tags. ``verdict`` is that of
    a liveness rule, ``""`` of any other. ``is_revised`` is one that never was. ``fired_ms`` is in
    the times of samples.
    """

    id: int
    fingerprint: str
    rule: str
    server_id: str
    severity: str
    tags: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    series: tuple[str, str, str, str] | None = None
    verdict: str = ""
    is_over: bool = False
    is_revised: bool = False
    acknowledged_until_ms: int = 0
    fired_ms: int = 0

    @property
    def rank(self) -> int:
        """How serious it is."""
        return RANKS.get(self.severity, 0)

    def seen_by_globs(self, *, has_tags: bool) -> Mapping[str, str]:
        """Return what globs see: those of silences tags, too, those of routes not."""
        tags = self.tags if has_tags else None
        return properties(self.severity, self.rule, self.server_id, self.labels, tags)


def newest(alerts: Iterable[PlannedAlert]) -> dict[str, PlannedAlert]:
    """Return the alert of each fingerprint: that which fires, else the one that fired last."""
    order = sorted(alerts, key=lambda one: (not one.is_over, one.fired_ms, one.id))
    return {alert.fingerprint: alert for alert in order}


@dataclass(frozen=True, slots=True)
class NotificationLogEntry:
    """That a channel was notified of an alert, with the severity of the last message."""

    alert_id: int
    channel: str
    group_id: int
    severity: str
    notified_ms: int


@dataclass(frozen=True, slots=True)
class NotificationGroup:
    """An open group. ``id`` is ``None`` before it is saved, ``notified_ms`` before its first."""

    channel: str
    key: str
    id: int | None = None
    wanted_ms: int = 0
    notified_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Recurrence:
    """That a channel was notified of the end of an alert: it may come back."""

    severity: str
    notified_ms: int


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence."""

    matchers: Mapping[str, str]
    start_ms: int
    end_ms: int
    id: int = 0


class Suppression(NamedTuple):
    """Why a channel is not notified of an alert: ``by`` which silence or alert, until when.

    Reasons are ``silence``, ``inhibition``, ``group_wait``, ``group_interval``,
    ``messages_per_minute``, ``flap`` and ``no_route``; a new one is no more than a word here and in
    ``operator/timeline.py``.
    """

    reason: str
    by: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class PlannerInput:
    """All that a decision rests on.

    ``returns`` are by channel and fingerprint, and so is what open groups ``kept``: the newest of
    all that they were notified of, also where it is over. ``spent`` is how many messages of a
    channel wait or were sent within the last minute. ``silences`` are those in force, to come, and
    lately over.

    ``changes`` are when alerts began and ended lately, ascending, by fingerprint, of those that may
    flap; ``flapping`` are the channels and fingerprints that were notified as flapping, and not yet
    as steady.
    """

    now_ms: int
    alerts: Sequence[PlannedAlert] = ()
    log: Sequence[NotificationLogEntry] = ()
    groups: Sequence[NotificationGroup] = ()
    returns: Mapping[tuple[str, str], Recurrence] = field(default_factory=dict)
    kept: Mapping[tuple[str, str], NotificationLogEntry] = field(default_factory=dict)
    changes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    flapping: AbstractSet[tuple[str, str]] = frozenset()
    silences: Sequence[Silence] = ()
    spent: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FlapSettings:
    """When an alert flaps; ``window`` counts intervals, 0 for never."""

    window: int = 0
    high: float = 0.3
    low: float = 0.25
    interval_ms: int = 300_000

    @property
    def span_ms(self) -> int:
        """How far back changes count."""
        return self.window * self.interval_ms

    @property
    def calm_ms(self) -> int:
        """After how long without a change an alert is steady."""
        return min(self.span_ms, round(self.interval_ms / max(self.low, 1e-9)))


@dataclass(frozen=True, slots=True)
class PlannerSettings:
    """The configuration as the planner needs it; ``route`` names an alert's channels.

    ``is_auto`` is whether the planner chooses the groups by itself; else ``key`` says which.
    """

    channels: tuple[str, ...]
    route: Callable[[PlannedAlert], Sequence[str]]
    key: Callable[[PlannedAlert], str]
    wait_ms: int
    interval_ms: int
    repeat_ms: int
    rate: int
    is_auto: bool = False
    flap: FlapSettings = FlapSettings()


@dataclass(slots=True)
class PlannedMessage:
    """A message to queue: ``news`` are alerts with their severity, ``ends`` are over.

    ``closes`` is whether nothing of the group is left to send. ``superseded`` are ends that are
    not shown, because the same alert fires again. Where an ``update`` has ends or lower severities
    alone, ``still`` is all that goes on firing. ``before`` are the severities notified before, by
    alert. ``begun`` are those of the news that begin to flap, ``flapping`` is what goes on, and
    ``steady`` what is steady again, over or not.
    """

    group: NotificationGroup
    kind: MessageKind
    news: list[PlannedAlert]
    ends: list[PlannedAlert]
    superseded: list[PlannedAlert] = field(default_factory=list)
    closes: bool = False
    still: list[PlannedAlert] = field(default_factory=list)
    before: Mapping[int, str] = field(default_factory=dict)
    is_fall: bool = False
    begun: Sequence[FlappingAlert] = ()
    flapping: Sequence[FlappingAlert] = ()
    steady: Sequence[FlappingAlert] = ()

    @property
    def is_partial(self) -> bool:
        """Whether all that is new is that some alerts have ended, but not all."""
        return bool(self.still) and not self.news

    @property
    def rank(self) -> int:
        """How serious the most serious of it is."""
        return max((alert.rank for alert in self.still or self.news or self.ends), default=0)


@dataclass(slots=True)
class NotificationPlan:
    """What to write.

    ``opened`` groups wait to be notified, ``dropped`` ones never were, ``closed`` ones need no
    more messages. ``forgotten`` are entries whose alert or channel is no more, or whose place
    another alert of the fingerprint takes, which is ``adopted``. ``next_ms`` is when something may
    be due without anything having changed. ``suppressed`` is why a channel is not notified now, by
    alert and channel, ``""`` for all.
    """

    messages: list[PlannedMessage] = field(default_factory=list)
    opened: list[NotificationGroup] = field(default_factory=list)
    dropped: list[NotificationGroup] = field(default_factory=list)
    closed: list[NotificationGroup] = field(default_factory=list)
    forgotten: list[NotificationLogEntry] = field(default_factory=list)
    adopted: list[NotificationLogEntry] = field(default_factory=list)
    next_ms: int | None = None
    suppressed: dict[tuple[int, str], Suppression] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write, but for what is suppressed."""
        parts = (
            *(self.messages, self.opened, self.dropped, self.closed, self.forgotten),
            self.adopted,
        )
        return not any(parts)

    def suppress(self, alerts: Iterable[PlannedAlert], channel: str, why: Suppression) -> None:
        """Note that a channel is not notified of alerts, for their history."""
        self.suppressed.update(((alert.id, channel), why) for alert in alerts)

    def look_at(self, time_ms: int) -> None:
        """Have the planner asked again by then."""
        self.next_ms = time_ms if self.next_ms is None else min(self.next_ms, time_ms)
