"""Backtests: which alerts rules would have raised, by the live state machine over history."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from hostpulse_server.rule_testing.calm import CalmStretches
from hostpulse_server.rule_testing.replay import Replay
from hostpulse_server.rules.model import RuleSet
from hostpulse_server.values.alert import SEVERITIES, AlertIdentity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hostpulse_server.rule_testing.sample_history import SampleHistory, Stretch
    from hostpulse_server.rule_testing.transitions import Reported
    from hostpulse_server.rules.model import Rule
    from hostpulse_server.values.alert import Severity

DEFAULT_INTERVAL_MS: Final = 10_000


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
        # what fires, by server, each with its tags as points have them
        self._open: dict[str, dict[AlertIdentity, tuple[Episode, dict[str, str]]]] = {}
        self._longest_over_ms = _longest_over_ms(self._rules)
        # the others judge how long a series is there or away
        self._may_pass = all(rule.kind == "threshold" for rule in self._rules.values())
        self._calm: dict[str, CalmStretches] = {}
        self.evaluated = 0  # samples
        self.spells: list[Episode] = []

    def stretch(self, server_id: str, stretch: Stretch) -> None:
        """Take a stretch of samples; one that is calm is passed over."""
        calm = self._calm.get(server_id)
        if calm is None:
            calm = self._calm[server_id] = CalmStretches(self._longest_over_ms)
        layout = self._replay.layout(server_id, stretch.first_points())
        is_calm = calm.may_pass(stretch, layout) and self._may_pass
        if is_calm and self._replay.is_at_rest(server_id):
            calm.passed(stretch)
            return
        passed, from_ms = calm.refill(stretch.start_ms)
        for one in passed:
            self.samples(server_id, (item for item in one.samples() if item[0] >= from_ms))
        self.samples(server_id, stretch.samples())

    def samples(
        self, server_id: str, samples: Iterable[tuple[int, Sequence[Mapping[str, Any]]]]
    ) -> None:
        """Take samples, (time, points); a server's come in the order of their times."""
        interval_ms = self._hosts.get(server_id, BacktestHost()).interval_ms
        firing = self._open.setdefault(server_id, {})
        for time_ms, points in samples:
            self.evaluated += 1
            for reported in self._replay.sample(server_id, time_ms, interval_ms, points):
                self._note(firing, reported)
            for spell, tags in firing.values():
                self._measure(spell, tags, points)

    def _note(
        self, firing: dict[AlertIdentity, tuple[Episode, dict[str, str]]], reported: Reported
    ) -> None:
        identity = reported.condition.identity
        spell, _ = firing.get(identity, (None, {}))
        if reported.state == "resolved":
            if spell is not None:
                spell.until_ms = reported.at_ms
                del firing[identity]
        elif spell is None:
            spell = Episode(identity, reported.severity, reported.at_ms)
            firing[identity] = spell, dict(identity.tags)
            self.spells.append(spell)
        else:
            spell.severity = max(spell.severity, reported.severity, key=SEVERITIES.index)

    def _measure(
        self, spell: Episode, tags: dict[str, str], points: Sequence[Mapping[str, Any]]
    ) -> None:
        rule = self._rules[spell.identity.rule]
        if rule.is_absent:
            return
        for point in points:
            if point["measurement"] != rule.measurement or (point.get("tags") or {}) != tags:
                continue
            value = point["fields"].get(rule.field)
            if value is not None:
                value = abs(value) if rule.abs else value
                pick = max if rule.levels[-1].direction == "above" else min
                spell.worst = value if spell.worst is None else pick(value, spell.worst)


class JointBacktest:
    """A backtest of several sets of rules at once: a rule that they share is evaluated once."""

    def __init__(self, sides: Sequence[RuleSet], hosts: Mapping[str, BacktestHost]) -> None:
        self.rules: dict[str, Rule] = {}
        self._names: list[dict[str, str]] = []  # a side's: evaluated as → its own
        for number, side in enumerate(sides):
            names = {}
            for name, rule in side.rules.items():
                known = self.rules.get(name)
                key = name if known is None or known == rule else f"{name} {number}"
                self.rules.setdefault(key, rule if key == name else _renamed(rule, key))
                names[key] = name
            self._names.append(names)
        self._backtest = Backtest(RuleSet(self.rules), hosts)

    def run(self, history: SampleHistory, server_ids: Iterable[str]) -> Iterator[str]:
        """Take the samples of these servers through; yield a server's id a page."""
        for server_id in server_ids:
            for page in history.read(server_id):
                for stretch in page:
                    self._backtest.stretch(server_id, stretch)
                yield server_id

    def spells(self) -> list[tuple[Episode, ...]]:
        """Return the episodes of each side."""
        return [
            tuple(
                replace(spell, identity=spell.identity._replace(rule=names[spell.identity.rule]))
                for spell in self._backtest.spells
                if spell.identity.rule in names
            )
            for names in self._names
        ]


def _longest_over_ms(rules: Mapping[str, Rule]) -> int:
    """Return how far back windows reach that hold every value; those of increases hold changes."""
    variants = [one for rule in rules.values() for one in (rule, *(o.rule for o in rule.overrides))]
    return max((one.over_ms for one in variants if one.aggregate != "increase"), default=0)


def _renamed(rule: Rule, name: str) -> Rule:
    overrides = (replace(one, rule=replace(one.rule, name=name)) for one in rule.overrides)
    return replace(rule, name=name, overrides=tuple(overrides))


def of_thresholds(rules: RuleSet, names: Sequence[str] = ()) -> RuleSet:
    """Return the rules that history can answer: liveness is judged while it happens."""
    kept = {
        name: rule
        for name, rule in rules.rules.items()
        if rule.kind != "liveness" and (not names or name in names)
    }
    return replace(rules, rules=kept)
