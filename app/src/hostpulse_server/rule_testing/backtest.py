"""Backtests: which alerts rules would have raised, by the live state machine over history."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from hostpulse_server.errors import QueryError
from hostpulse_server.rule_testing.replay import Replay
from hostpulse_server.store.base import Query
from hostpulse_server.values.alert import SEVERITIES, AlertIdentity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hostpulse_server.rule_testing.transitions import Reported
    from hostpulse_server.rules.model import Rule, RuleSet
    from hostpulse_server.store.base import Store
    from hostpulse_server.values.alert import Severity
    from hostpulse_server.values.points import Tags

PAGE_MS: Final = 12 * 3_600_000
_SHORTEST_MS: Final = 60_000
DEFAULT_INTERVAL_MS: Final = 10_000
# in every sample, so that a missing series is distinguished from a silent host
_PRESENCE: Final = ("system", "uptime_seconds")

Points = dict[tuple[str, "Tags"], dict[str, float]]


@dataclass(slots=True)
class Episode:
    """One alert from firing to resolution; ``until_ms`` is ``None`` if the history ends before.

    ``severity`` is the highest it had and ``worst`` the value of all its samples, before any
    aggregation, that is farthest beyond the threshold.
    """

    identity: AlertIdentity
    severity: Severity
    from_ms: int
    until_ms: int | None = None
    worst: float | None = None

    def overlaps(self, other: Episode) -> bool:
        """Return whether both are of the same alert and at some time fire together."""
        return (
            self.identity == other.identity
            and (self.until_ms is None or other.from_ms <= self.until_ms)
            and (other.until_ms is None or self.from_ms <= other.until_ms)
        )


@dataclass(frozen=True, slots=True)
class BacktestHost:
    """What is known of a server beside its samples."""

    labels: Mapping[str, str] = field(default_factory=dict)
    interval_ms: int = DEFAULT_INTERVAL_MS


class Backtest:
    """Takes one server's samples after another's through some rules and gathers what fires."""

    def __init__(self, rules: RuleSet, hosts: Mapping[str, BacktestHost]) -> None:
        self._rules = rules.rules
        self._hosts = hosts
        self._replay = Replay(rules, lambda server_id: hosts.get(server_id, BacktestHost()).labels)
        self._open: dict[AlertIdentity, Episode] = {}
        self.spells: list[Episode] = []

    def sample(self, server_id: str, time_ms: int, points: Points) -> None:
        """Take one sample; a server's come in the order of their times."""
        listed = [
            {"measurement": measurement, "tags": dict(tags), "fields": fields}
            for (measurement, tags), fields in points.items()
        ]
        interval_ms = self._hosts.get(server_id, BacktestHost()).interval_ms
        for reported in self._replay.sample(server_id, time_ms, interval_ms, listed):
            self._note(reported)
        for identity, spell in self._open.items():
            if identity.server_id == server_id:
                self._measure(spell, points)

    def _note(self, reported: Reported) -> None:
        identity = reported.condition.identity
        spell = self._open.get(identity)
        if reported.state == "resolved":
            if spell is not None:
                spell.until_ms = reported.at_ms
                del self._open[identity]
        elif spell is None:
            self._open[identity] = Episode(identity, reported.severity, reported.at_ms)
            self.spells.append(self._open[identity])
        else:
            spell.severity = max(spell.severity, reported.severity, key=SEVERITIES.index)

    def _measure(self, spell: Episode, points: Points) -> None:
        rule = self._rules[spell.identity.rule]
        fields = points.get((rule.measurement, spell.identity.tags), {})
        if rule.field in fields:
            value = abs(fields[rule.field]) if rule.abs else fields[rule.field]
            pick = max if rule.levels[-1].direction == "above" else min
            spell.worst = value if spell.worst is None else pick(value, spell.worst)


def of_thresholds(rules: RuleSet, names: Sequence[str] = ()) -> RuleSet:
    """Return the rules that history can answer: liveness is judged while it happens."""
    kept = {
        name: rule
        for name, rule in rules.rules.items()
        if rule.kind == "threshold" and (not names or name in names)
    }
    return replace(rules, rules=kept)


class SampleHistory:
    """The stored samples of some time, as far as some rules look at them."""

    def __init__(self, store: Store, rules: Iterable[Rule], start_ms: int, end_ms: int) -> None:
        self._store = store
        self._start_ms = start_ms
        self._end_ms = end_ms
        self._fields: dict[str, set[str]] = defaultdict(set)
        self._fields[_PRESENCE[0]].add(_PRESENCE[1])
        for rule in rules:
            self._fields[rule.measurement] |= {rule.field, *(one.field for one in rule.only_if)}

    def samples(self, server_id: str) -> Iterator[tuple[int, Points]]:
        """Yield one server's samples in the order of their times."""
        for low in range(self._start_ms, self._end_ms, PAGE_MS):
            yield from self._page(server_id, low, min(low + PAGE_MS, self._end_ms))

    def _page(self, server_id: str, low: int, high: int) -> list[tuple[int, Points]]:
        try:
            return self._read(server_id, low, high)
        except QueryError:  # more values than one answer holds
            middle = (low + high) // 2
            if middle - low < _SHORTEST_MS:
                raise
            return self._page(server_id, low, middle) + self._page(server_id, middle, high)

    def _read(self, server_id: str, low: int, high: int) -> list[tuple[int, Points]]:
        samples: dict[int, Points] = {}
        for measurement, fields in self._fields.items():
            query = Query(
                server_ids=(server_id,),
                measurement=measurement,
                fields=tuple(sorted(fields)),
                tags=(),
                start_ms=low,
                end_ms=high,
                step_ms=1,  # every value at its own time
                aggregate="last",
            )
            for series in self._store.query(query):
                key = (series.measurement, series.tags)
                for time_ms, value in series.points:
                    points = samples.setdefault(time_ms, {})
                    points.setdefault(key, {})[series.field] = value
        return sorted(samples.items(), key=lambda item: item[0])


def only_in(first: Iterable[Episode], second: Sequence[Episode]) -> list[Episode]:
    """Return the episodes of ``first`` during which ``second`` has none."""
    by_identity: dict[AlertIdentity, list[Episode]] = defaultdict(list)
    for spell in second:
        by_identity[spell.identity].append(spell)
    return [
        spell
        for spell in first
        if not any(spell.overlaps(other) for other in by_identity[spell.identity])
    ]


def run(
    history: SampleHistory,
    backtests: Sequence[Backtest],
    server_ids: Iterable[str],
) -> None:
    """Take the samples of these servers through every backtest."""
    for server_id in server_ids:
        for time_ms, points in history.samples(server_id):
            for backtest in backtests:
                backtest.sample(server_id, time_ms, points)
