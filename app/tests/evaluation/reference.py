"""The rules' meaning, computed anew from the whole history at each look: slow, but plain to see.

Nothing is carried from one sample to the next but the history itself. A time is given by the
index of the host's sample.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from hostpulse_server.values.alert import SEVERITIES, AlertIdentity, Condition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hostpulse_server.rules import Level, Rule, RuleSet

SERVER = "web-01"
INTERVAL_MS = 10_000

Function = TypeVar("Function", bound="Callable[..., Any]")


class Taken(NamedTuple):
    """A sample that was evaluated, each series once."""

    time_ms: int
    interval_ms: int
    fields: Mapping[tuple[str, str], Mapping[str, float]]


class Standing(NamedTuple):
    """How an alert stands."""

    phase: str
    severity: str
    started_ms: int


NOTHING = Standing("", "", 0)


def remembered(function: Function) -> Function:
    """Spare computing what a life at its last sample, which later ones do not change, gave."""

    @wraps(function)
    def lookup(self: Life, *arguments: Any) -> Any:
        *others, life = arguments
        key = (
            function.__name__,
            *(getattr(one, "severity", one) for one in others),
            len(life),
            life[-1],
        )
        if key not in self.known:
            self.known[key] = function(self, *arguments)
        return self.known[key]

    return cast("Function", lookup)


class Reference:
    """Same door as the evaluator's, for one server and origin."""

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self.history: list[Taken] = []
        self.reported: dict[AlertIdentity, Standing] = {}
        self.collected: dict[AlertIdentity, int] = {}  # how many samples were looked at
        self.known: dict[Any, dict[tuple[Any, ...], Any]] = {}

    def add(self, time_ms: int, interval_ms: int, points: Sequence[Mapping[str, Any]]) -> bool:
        """Take a sample into the history unless it is late."""
        if self.history and time_ms <= self.history[-1].time_ms:
            return False
        fields: dict[tuple[str, str], dict[str, float]] = {}
        for point in points:
            key = point["measurement"], json.dumps(point.get("tags") or {}, sort_keys=True)
            fields[key] = {**fields.get(key, {}), **point["fields"]}
        self.history.append(Taken(time_ms, interval_ms, fields))
        return True

    def collect_changes(self) -> list[Condition]:
        """Return what differs from what was told last."""
        found: list[Condition] = []
        for name in sorted(self.rules.rules):
            keys = {key for taken in self.history for key in taken.fields}
            for measurement, text in sorted(keys):
                if measurement == self.rules.rules[name].measurement:
                    found += self._collect(name, json.loads(text), (measurement, text))
        return found

    def _collect(self, name: str, tags: dict[str, str], key: tuple[str, str]) -> list[Condition]:
        rule = self.rules.effective(name, SERVER, tags, {})
        if rule is None:
            return []
        known = self.known.setdefault((name, key), {})
        life = Life(rule, self.history, key, known)
        identity = AlertIdentity(name, SERVER, tuple(sorted(tags.items())))
        reported = self.reported.get(identity, NOTHING)
        found: list[Condition] = []
        began = None  # the index in ``found`` at which one that fires began
        for n in range(self.collected.get(identity, 0), len(self.history)):
            before = life.standings[n - 1] if n else NOTHING
            now = life.standings[n]
            reason = "gone" if life.raw(n) is None else "cleared"
            if before.phase == "firing" != now.phase:
                found.append(_condition(identity, life, n, before, "resolved", reason))
                if began is not None:
                    found[began:] = [replace(one, is_late=True) for one in found[began:]]
                reported, began = NOTHING, None
            if now.phase == "firing" and before[:2] != now[:2]:
                began = len(found) if before.phase != "firing" else began
                found.append(_condition(identity, life, n, now, "firing"))
                reported = now
        if found and found[-1].phase == "firing":
            found[-1] = replace(found[-1], value=float(life.value_at(len(self.history) - 1)))
        self.collected[identity] = len(self.history)
        now = life.standings[-1] if self.history else NOTHING
        if now.phase == "pending" and now != reported:
            pending = _condition(identity, life, life.last_change, now, "pending")
            value = float(life.value_at(len(self.history) - 1))
            found.append(replace(pending, value=value))
        elif reported.phase == "pending" and not now.phase and not found:
            at, reason = life.last_end
            found.append(_condition(identity, life, at, reported, "dropped", reason))
        self.reported[identity] = now
        return found


def _condition(
    identity: AlertIdentity, life: Life, n: int, standing: Standing, phase: str, reason: str = ""
) -> Condition:
    return Condition(
        identity=identity,
        phase=phase,  # type: ignore[arg-type]
        severity=standing.severity,  # type: ignore[arg-type]
        value=None if reason == "gone" else float(life.value_at(n)),
        threshold=_threshold(life.rule, standing.severity),
        started_ms=standing.started_ms,
        at_ms=life.history[n].time_ms,
        reason=reason,  # type: ignore[arg-type]
    )


@dataclass
class Life:
    """One rule on one series over the whole history."""

    rule: Rule
    history: Sequence[Taken]
    key: tuple[str, str]
    known: dict[tuple[Any, ...], Any]

    def raw(self, n: int) -> float | None:
        """Return the value in a sample."""
        return self.history[n].fields.get(self.key, {}).get(self.rule.field)

    @cached_property
    def lives(self) -> list[list[int]]:
        """Indexes of the samples that have the series, cut where it was gone."""
        lives: list[list[int]] = []
        for n in range(len(self.history)):
            if lives and n > self._limit(lives[-1]):
                lives.append([])
            if self.raw(n) is not None:
                if not lives:
                    lives.append([])
                lives[-1].append(n)
        return lives

    def _limit(self, life: Sequence[int]) -> int:
        """Return the index at which a life ends if the series is not in that sample."""
        if not life:
            return len(self.history)
        spacing = self._spacing(life, len(life) - 1)
        return life[-1] + (60 if spacing is None else 5 * spacing)

    def _spacing(self, life: Sequence[int], position: int) -> int | None:
        """Return the spacing known after the sample at a position of its life."""
        return None if position == 0 else life[position] - life[position - 1]

    def life_at(self, n: int) -> list[int]:
        """Return the indexes of the series' life at ``n`` up to there; none if it is gone."""
        key = ("life", n)
        if key not in self.known:
            lives = ([one for one in life if one <= n] for life in reversed(self.lives))
            until = next((life for life in lives if life), [])
            is_there = n in until or (until and n < self._limit(until))
            self.known[key] = until if is_there else []
        return cast("list[int]", self.known[key])

    @remembered
    def compared(self, life: Sequence[int]) -> float:
        """Return what is compared at the end of a life."""
        rule, end = self.rule, self.history[life[-1]].time_ms
        if rule.aggregate == "increase":
            return self._increase(life, end)
        values = []
        for n in life:
            value = self.raw(n)
            is_inside = n == life[-1] or self.history[n].time_ms > end - rule.over_ms
            if value is not None and is_inside:
                values.append(abs(value) if rule.abs else value)
        if rule.aggregate == "mean":
            return float(sum(map(Fraction, values)) / len(values))
        return min(values) if rule.aggregate == "min" else max(values)

    def _increase(self, life: Sequence[int], end: int) -> float:
        """Return the sum of what was counted from one value of a life to the next."""
        found, before = Fraction(0), None
        for n in life:
            raw = self.raw(n) if n >= 0 else None
            if raw is None:
                continue
            value = Fraction(abs(raw) if self.rule.abs else raw)
            if before is not None and self.history[n].time_ms > end - self.rule.over_ms:
                found += value - before if value >= before else max(value, Fraction(0))
            before = value
        return float(found)

    def is_looked_at(self, n: int) -> bool:
        """Tell whether the rule's other conditions are met."""
        fields = self.history[n].fields[self.key]
        for one in self.rule.only_if:
            other = fields.get(one.field)
            if other is None:
                return False
            if not (other > one.threshold if one.direction == "above" else other < one.threshold):
                return False
        return True

    @remembered
    def is_beyond(self, level: Level, life: Sequence[int]) -> bool:
        """Tell whether the last value of a life is beyond the threshold."""
        value, sign = self.compared(life), 1 if level.direction == "above" else -1
        return self.is_looked_at(life[-1]) and sign * value > sign * level.threshold

    @remembered
    def is_cleared(self, level: Level, life: Sequence[int]) -> bool:
        """Tell whether the last value of a life speaks for an end."""
        if not self.is_looked_at(life[-1]) or level.clear is None:
            return not self.is_beyond(level, life)
        sign = 1 if level.direction == "above" else -1
        return sign * self.compared(life) < sign * level.clear

    def is_cut(self, life: Sequence[int]) -> bool:
        """Tell whether an alert that fired at once ended before the second sample of a life."""
        if len(life) != 2 or life[1] - life[0] <= 5:
            return False
        return any(self.is_on(level, life[:1]) for level in self.rule.levels)

    def gap(self, life: Sequence[int]) -> tuple[int, int, int]:
        """Return the gap before the last sample, what is counted of it at most, and five spacings.

        All in milliseconds.
        """
        spacing = self._spacing(life, len(life) - 2) or life[-1] - life[-2]
        last = self.history[life[-1]]
        allowed = self.rule.max_gap_ms
        if allowed is None:
            allowed = max(25_000, int(2.5 * spacing * last.interval_ms))
        gap = last.time_ms - self.history[life[-2]].time_ms
        return gap, allowed, 5 * spacing * last.interval_ms

    @remembered
    def lost(self, level: Level, life: Sequence[int]) -> int | None:
        """Return what is not counted of the gap before the last sample; None: it breaks runs."""
        if len(life) == 1 or self.is_cut(life):
            return None
        gap, allowed, five = self.gap(life)
        if gap <= allowed:
            return 0
        return None if gap > max(level.for_ms, five) else gap

    @remembered
    def run(self, test: str, level: Level, life: Sequence[int]) -> tuple[int, int] | None:
        """Return when the unbroken run of samples that pass a test began, and what of it counts.

        ``None`` without one.
        """
        begun, lost = None, 0
        now = self.history[life[-1]].time_ms
        for end in range(len(life), 0, -1):
            if not getattr(self, test)(level, life[:end]):
                break
            begun = self.history[life[end - 1]].time_ms
            counted = now - begun - lost
            more = self.lost(level, life[:end])
            if more is None:
                break
            lost += more
        return None if begun is None else (begun, counted)

    @remembered
    def is_on(self, level: Level, life: Sequence[int]) -> bool:
        """Tell whether a level holds: it has begun, and nothing has ended it since."""
        for end in range(len(life), 0, -1):
            until = life[:end]
            beyond = self.run("is_beyond", level, until)
            if beyond is not None and beyond[1] >= level.for_ms:
                return True
            cleared = self.run("is_cleared", level, until)
            if cleared is not None and cleared[1] >= self.rule.keep_firing_ms:
                return False
            if self.is_cut(until):
                return False
        return False

    @cached_property
    def standings(self) -> list[Standing]:
        """How the alert stood after each sample of the host."""
        found: list[Standing] = []
        for n in range(len(self.history)):
            key = ("standing", n)
            if key not in self.known:
                self.known[key] = self._standing_at(n, found[-1] if found else NOTHING)
            found.append(self.known[key])
        return found

    def _standing_at(self, n: int, before: Standing) -> Standing:
        life = self.life_at(n)
        if not life:
            return NOTHING
        if life[-1] == n:
            return self._standing(life, before)
        is_cut = len(life) == 1 and n - life[0] >= 5 and before.phase == "firing"
        return NOTHING if is_cut else before

    def _standing(self, life: Sequence[int], before: Standing) -> Standing:
        begun = {one.severity: self.run("is_beyond", one, life) for one in self.rule.levels}
        runs = {severity: run[0] for severity, run in begun.items() if run is not None}
        holding = [one.severity for one in self.rule.levels if self.is_on(one, life)]
        if holding and before.phase == "firing":
            return Standing("firing", _highest(holding), before.started_ms)
        if holding or runs:
            phase = "firing" if holding else "pending"
            return Standing(phase, _highest(holding or list(runs)), min(runs.values()))
        return NOTHING

    @property
    def last_end(self) -> tuple[int, str]:
        """In which sample an alert, or one that waited, ended last, and why."""
        for n in range(len(self.standings) - 1, 0, -1):
            before, now = self.standings[n - 1].phase, self.standings[n].phase
            if (before == "firing" != now) or (before and not now):
                return n, "gone" if self.raw(n) is None else "cleared"
        raise AssertionError("it never ended")

    @property
    def last_change(self) -> int:
        """In which sample the alert came to stand as it does."""
        n = len(self.standings) - 1
        while n and self.standings[n - 1] == self.standings[n]:
            n -= 1
        return n

    def value_at(self, n: int) -> float:
        """Return what was compared last in the sample of this index or before."""
        for index in range(n, -1, -1):
            life = self.life_at(index)
            if life and life[-1] == index:
                return self.compared(life)
        raise AssertionError("nothing was ever compared")


def _highest(severities: Sequence[str]) -> str:
    return next(one for one in reversed(SEVERITIES) if one in severities)


def _threshold(rule: Rule, severity: str) -> float | None:
    return next((one.threshold for one in rule.levels if one.severity == severity), None)
