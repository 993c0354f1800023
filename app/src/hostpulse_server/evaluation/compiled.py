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

from hostpulse_server.evaluation.rule_index import RuleIndex
from hostpulse_server.values.alert import AlertIdentity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hostpulse_server.evaluation.rule_index import Overrides, RuleVariant
    from hostpulse_server.rules.model import Rule, RuleSet
    from hostpulse_server.values.points import Tags

    Point = Mapping[str, Any]

ANY_TAGS: Final[Mapping[str, str]] = {"*": "*"}  # no rule looks at this measurement
_EVERYTHING: Final = (-inf, inf)
_MOST_KEPT: Final = 10_000  # series with the same overrides


class CompiledRule:
    """A rule as it holds for one series; compared by identity, there is one of each.

    A value within ``low`` and ``high``, both included, is beyond no threshold. ``gathers`` says
    what a window of this rule holds, ``None`` for one without. What was counted of an increase
    behind a gap is beyond all thresholds for certain if it is over ``certain_above``. ``mark``
    stands for rule and series in what is remembered.
    """

    __slots__ = (
        "__weakref__",
        "_mark",
        "certain_above",
        "gathers",
        "high",
        "is_absent",
        "is_computed",
        "low",
        "rule",
        "tags",
    )

    def __init__(self, variant: RuleVariant, tags: Tags) -> None:
        self.rule = variant.rule
        self.tags = tags
        self.is_absent = variant.rule.is_absent
        self._mark: int | None = None
        self.low, self.high, self.gathers, self.is_computed, self.certain_above = variant.limits

    @property
    def mark(self) -> int:
        """Computed when it is wanted first: at a start there are many at once."""
        if self._mark is None:
            self._mark = zlib.crc32(repr((self.rule.name, self.tags)).encode())
        return self._mark

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
        "measurements",
        "pack",
        "point_of",
        "rows",
        "size",
    )

    def __init__(self, series: Sequence[tuple[str, Tags | None, tuple[CompiledRule, ...]]]) -> None:
        self.size = len(series)
        self.measurements = frozenset(measurement for measurement, *_ in series)
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


class CompiledCache:
    """What is compiled and in use, by the id of a rule and tags, and by series."""

    def __init__(self) -> None:
        self.rules: WeakValueDictionary[tuple[int, Tags], CompiledRule] = WeakValueDictionary()
        self.layouts: WeakValueDictionary[tuple[Any, ...], CompiledLayout] = WeakValueDictionary()


class Compiler:
    """Compiles a set of rules for the layouts of samples.

    What is the same ``before``, in the set that was in force, stays compiled. ``changed`` are the
    names of the other rules, and ``touched`` the measurements that these look or looked at.
    """

    def __init__(self, rules: RuleSet, before: Compiler | None = None) -> None:
        known: Mapping[str, Rule] = {} if before is None else before.rules
        # rules are compared, and the older of two that are equal is kept: what was compiled is its
        self.rules: dict[str, Rule] = {
            name: known[name] if known.get(name) == rule else rule
            for name, rule in rules.rules.items()
        }
        self._index = RuleIndex(rule for rule in self.rules.values() if rule.kind != "liveness")
        self.changed = {
            name for name in {**known, **self.rules} if known.get(name) is not self.rules.get(name)
        }
        self.touched = {
            some[name].measurement
            for some in (known, self.rules)
            for name in self.changed
            if name in some
        }
        self._servers: dict[str, tuple[Mapping[str, str], _Series]] = {}
        self._series: dict[frozenset[tuple[str, tuple[int, ...]]], _Series] = {}
        self.cache: CompiledCache = CompiledCache() if before is None else before.cache

    def knows(self, name: str) -> bool:
        """Return whether there is such a rule, enabled or not."""
        return name in self._index.by_name

    def compiled_rule(
        self, name: str, server_id: str, tags: Tags, labels: Mapping[str, str]
    ) -> CompiledRule | None:
        """Return what the rule is for a series, ``None`` if it does not hold there."""
        if not self.knows(name):
            return None
        overrides = self._series_of(server_id, labels).overrides
        variant = self._index.variant(name, dict(tags), overrides)
        return None if variant is None else self._compiled(variant, tags)

    def plan(
        self, server_id: str, points: Iterable[Point], labels: Mapping[str, str]
    ) -> CompiledLayout:
        """Return the plan for samples with the series of ``points``, each of which occurs once."""
        known = self._series_of(server_id, labels)
        series: list[tuple[str, Tags | None, tuple[CompiledRule, ...]]] = []
        for point in points:
            measurement = point["measurement"]
            if not self._index.looks_at(measurement):
                series.append((measurement, None, ()))
                continue
            tags = tuple(sorted((point.get("tags") or {}).items()))
            found = known.compiled.get((measurement, tags))
            if found is None:
                variants = self._index.variants(measurement, dict(tags), known.overrides)
                found = tuple([self._compiled(variant, tags) for variant in variants])
                known.keep((measurement, tags), found)
            series.append((measurement, tags, found))
        key = tuple(series)
        plan = self.cache.layouts.get(key)
        if plan is None:
            plan = self.cache.layouts[key] = CompiledLayout(series)
        return plan

    def _compiled(self, variant: RuleVariant, tags: Tags) -> CompiledRule:
        # the compiled_rule keeps its rule, so the id stands for it
        key = (id(variant.rule), tags)
        found = self.cache.rules.get(key)
        if found is None:
            found = self.cache.rules[key] = CompiledRule(variant, tags)
        return found

    def _series_of(self, server_id: str, labels: Mapping[str, str]) -> _Series:
        """Return what is known of series on this server, and on others with the same overrides."""
        known = self._servers.get(server_id)
        if known is not None and known[0] == labels:
            return known[1]
        overrides = self._index.overrides(server_id, labels)
        key = frozenset(
            (name, tuple(id(variant) for _, variant in some)) for name, some in overrides.items()
        )
        found = self._series.setdefault(key, _Series(overrides))
        self._servers[server_id] = (dict(labels), found)
        return found


class _Series:
    """What rules are for series on servers with the same overrides."""

    __slots__ = ("compiled", "overrides")

    def __init__(self, overrides: Overrides) -> None:
        self.overrides = overrides
        self.compiled: dict[tuple[str, Tags], tuple[CompiledRule, ...]] = {}

    def keep(self, key: tuple[str, Tags], found: tuple[CompiledRule, ...]) -> None:
        """Keep what a series has; now and then all is forgotten, as series come and go."""
        if len(self.compiled) >= _MOST_KEPT:
            self.compiled.clear()
        self.compiled[key] = found


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
