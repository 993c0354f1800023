"""Rules compiled for samples of one layout: a sample without changes costs look-ups and compares.

Agents send the same series in the same order each time. A compiled layout has, for each point of
such a sample, the values to look at and the limits between which no rule is concerned. Hosts with
the same series and the same rules share one: that keeps it in the processor's caches.
"""

from __future__ import annotations

import zlib
from math import inf, nan
from struct import Struct
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from hostpulse_server.values.alert import AlertIdentity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hostpulse_server.rules.model import Rule, RuleSet
    from hostpulse_server.values.points import Tags

    Point = Mapping[str, Any]

ANY_TAGS: Final[Mapping[str, str]] = {"*": "*"}  # no rule looks at this measurement
_EVERYTHING: Final = (-inf, inf)


class CompiledRule:
    """A rule as it holds for one series; compared by identity, there is one of each.

    A value within ``low`` and ``high``, both included, is beyond no threshold. ``gathers`` says
    what a window of this rule holds, ``None`` for one without. What was counted of an increase
    behind a gap is beyond all thresholds for certain if it is over ``certain_above``. ``mark``
    stands for rule and series in what is remembered.
    """

    __slots__ = (
        "__weakref__",
        "certain_above",
        "gathers",
        "high",
        "is_computed",
        "low",
        "mark",
        "rule",
        "tags",
    )

    def __init__(self, rule: Rule, tags: Tags) -> None:
        self.rule = rule
        self.tags = tags
        above = [level.threshold for level in rule.levels if level.direction == "above"]
        below = [level.threshold for level in rule.levels if level.direction == "below"]
        self.low = max(below, default=-inf)
        self.high = min(above, default=inf)
        self.gathers = _gathers(rule)
        self.is_computed = bool(rule.over_ms) or rule.abs
        is_certain = rule.aggregate == "increase" and not below
        self.certain_above = max(above, default=inf) if is_certain else inf
        self.mark = zlib.crc32(repr((rule.name, tags)).encode())

    def identity(self, server_id: str) -> AlertIdentity:
        """Return what makes its alert on this server the same one."""
        return AlertIdentity(self.rule.name, server_id, self.tags)

    def max_gap_ms(self, interval_ms: int) -> int:
        """Return the longest gap between samples that breaks no run."""
        given = self.rule.max_gap_ms
        return max(25_000, interval_ms * 5 // 2) if given is None else given

    def looks_at(self, fields: Mapping[str, float]) -> bool:
        """Return whether the rule's conditions on other fields of the point are met."""
        return all(
            one.field in fields and one.holds(fields[one.field]) for one in self.rule.only_if
        )


class CompiledLayout:
    """``rows`` has for each point its measurement, its tags and (field, low, high) to check.

    ``compiled_rules`` are all checks in that order, ``computed`` the indexes of those that compare
    something else than the value itself, and ``point_of`` the index of each one's point.
    """

    __slots__ = (
        "__weakref__",
        "compiled_rules",
        "computed",
        "index",
        "pack",
        "point_of",
        "rows",
        "size",
    )

    def __init__(self, series: Sequence[tuple[str, Tags | None, tuple[CompiledRule, ...]]]) -> None:
        self.size = len(series)
        self.rows = tuple(
            (measurement, _compared(tags), tuple(map(_check, compiled_rules)))
            for measurement, tags, compiled_rules in series
        )
        self.compiled_rules = tuple(
            compiled_rule for *_, compiled_rules in series for compiled_rule in compiled_rules
        )
        self.point_of = tuple(
            number for number, (*_, compiled_rules) in enumerate(series) for _ in compiled_rules
        )
        self.index = {
            compiled_rule: number for number, compiled_rule in enumerate(self.compiled_rules)
        }
        self.computed = tuple(
            n for n, compiled_rule in enumerate(self.compiled_rules) if compiled_rule.is_computed
        )
        self.pack = Struct(f"{1 + len(self.compiled_rules)}d")

    def read(self, points: Sequence[Point], values: list[float], odd: list[int]) -> bool:
        """Read the values of a sample, and the indexes of those missing or beyond a limit.

        A missing one is not a number. Return False, with nothing read, for another layout.
        """
        if len(points) != self.size:
            return False
        append = values.append
        for (measurement, tags, checks), point in zip(self.rows, points, strict=True):
            if point["measurement"] != measurement or (
                tags is not ANY_TAGS and (found := point.get("tags")) != tags and (found or tags)
            ):
                values.clear()
                odd.clear()
                return False
            if checks:
                fields = point["fields"]
                for field, low, high in checks:
                    value = fields.get(field, nan)
                    if not low <= value <= high:
                        odd.append(len(values))
                    append(value)
        return True


class Compiler:
    """Compiles a set of rules for the layouts of samples."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self._by_measurement: dict[str, list[str]] = {}
        for name, rule in rules.rules.items():
            if rule.kind == "threshold":
                self._by_measurement.setdefault(rule.measurement, []).append(name)
        self._compiled_rules: WeakValueDictionary[tuple[int, Tags], CompiledRule] = (
            WeakValueDictionary()
        )
        self._plans: WeakValueDictionary[tuple[Any, ...], CompiledLayout] = WeakValueDictionary()

    def knows(self, name: str) -> bool:
        """Return whether there is such a rule, enabled or not."""
        return name in self._rules.rules and self._rules.rules[name].kind == "threshold"

    def compiled_rule(
        self, name: str, server_id: str, tags: Tags, labels: Mapping[str, str]
    ) -> CompiledRule | None:
        """Return what the rule is for a series, ``None`` if it does not hold there."""
        if not self.knows(name):
            return None
        rule = self._rules.effective(name, server_id, dict(tags), labels)
        if rule is None:
            return None
        key = (id(rule), tags)  # the compiled_rule keeps its rule, so the id stands for it
        found = self._compiled_rules.get(key)
        if found is None:
            found = self._compiled_rules[key] = CompiledRule(rule, tags)
        return found

    def plan(
        self, server_id: str, points: Iterable[Point], labels: Mapping[str, str]
    ) -> CompiledLayout:
        """Return the plan for samples with the series of ``points``, each of which occurs once."""
        series: list[tuple[str, Tags | None, tuple[CompiledRule, ...]]] = []
        for point in points:
            measurement = point["measurement"]
            names = self._by_measurement.get(measurement)
            if names is None:
                series.append((measurement, None, ()))
                continue
            tags = tuple(sorted((point.get("tags") or {}).items()))
            found = (self.compiled_rule(name, server_id, tags, labels) for name in names)
            series.append(
                (
                    measurement,
                    tags,
                    tuple(compiled_rule for compiled_rule in found if compiled_rule),
                )
            )
        key = tuple(series)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = CompiledLayout(series)
        return plan


def merged(points: Sequence[Point]) -> Sequence[Point]:
    """Return the points with each series once, as stores keep them: the last value wins."""
    found: dict[tuple[str, Tags], Point] = {}
    for point in points:
        key = point["measurement"], tuple(sorted((point.get("tags") or {}).items()))
        before = found.get(key)
        if before is not None:
            point = {**before, "fields": {**before["fields"], **point["fields"]}}  # noqa: PLW2901
        found[key] = point
    return points if len(found) == len(points) else list(found.values())


def _compared(tags: Tags | None) -> dict[str, str] | Mapping[str, str] | None:
    if tags is None:
        return ANY_TAGS
    return dict(tags) or None


def _check(compiled_rule: CompiledRule) -> tuple[str, float, float]:
    low, high = (
        _EVERYTHING if compiled_rule.is_computed else (compiled_rule.low, compiled_rule.high)
    )
    return compiled_rule.rule.field, low, high


def _gathers(rule: Rule) -> tuple[object, ...] | None:
    if not rule.over_ms:
        return None
    found = (rule.measurement, rule.field, rule.abs)
    return (*found, "increase") if rule.aggregate == "increase" else found
