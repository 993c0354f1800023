"""Which rules hold for a series: globs are compiled once, and rules found by measurement and tag.

The answer is that of ``RuleSet.effective``, for all rules of a measurement at once.
"""

from __future__ import annotations

import re
from fnmatch import translate
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from hostpulse_server.rules.model import Rule

    Match = Callable[[str], Any]
    Globs = tuple[tuple[str, Match], ...]  # name → its glob; all have to match
    # of rules with overrides whose server and labels fit: those, each with what it says of tags
    Overrides = Mapping[str, tuple[tuple[Globs, "RuleVariant"], ...]]

_SPECIAL: Final = frozenset("*?[")


class RuleLimits(NamedTuple):
    """What is compared of a rule, on any series; as ``CompiledRule`` says."""

    low: float
    high: float
    gathers: tuple[object, ...] | None
    is_computed: bool
    certain_above: float


class RuleVariant:
    """A rule as it is or as one override makes it."""

    __slots__ = ("limits", "rule", "where")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.limits = _limits(rule)
        self.where = _globs(rule.where)


class _IndexedRule(NamedTuple):
    position: int
    name: str
    variant: RuleVariant
    # (what it says of the server, of tags, the variant)
    overrides: tuple[tuple[Globs, Globs, RuleVariant], ...]


class RuleIndex:
    """The rules of a set that are evaluated on samples."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.by_name = {rule.name: _indexed(position, rule) for position, rule in enumerate(rules)}
        self._rest: dict[str, list[_IndexedRule]] = {}
        self._by_tag: dict[str, dict[tuple[str, str], list[_IndexedRule]]] = {}
        for one in self.by_name.values():
            rule = one.variant.rule
            exact = _exact(rule)
            self._rest.setdefault(rule.measurement, [])
            if exact is None:
                self._rest[rule.measurement].append(one)
            else:
                by_tag = self._by_tag.setdefault(rule.measurement, {})
                by_tag.setdefault(exact, []).append(one)

    def looks_at(self, measurement: str) -> bool:
        """Return whether any rule does."""
        return measurement in self._rest

    def overrides(self, server_id: str, labels: Mapping[str, str]) -> Overrides:
        """Return the overrides that hold on a server, if the tags fit."""
        values = {f"label.{label}": value for label, value in labels.items()}
        values["server_id"] = server_id
        found = {}
        for name, one in self.by_name.items():
            if one.overrides:
                some = tuple(
                    (tags, variant)
                    for server, tags, variant in one.overrides
                    if _fits(server, values)
                )
                if some:
                    found[name] = some
        return found

    def variants(
        self, measurement: str, tags: Mapping[str, str], overrides: Overrides
    ) -> Iterator[RuleVariant]:
        """Yield what holds for a series, in the order of the rules."""
        candidates = self._rest.get(measurement, [])
        by_tag = self._by_tag.get(measurement)
        if by_tag:
            more = [one for item in tags.items() for one in by_tag.get(item, ())]
            candidates = sorted([*candidates, *more]) if more else candidates
        for one in candidates:
            variant = one.variant
            some = overrides.get(one.name)
            if some:
                variant = next((it for globs, it in some if _fits(globs, tags)), variant)
            if variant.rule.enabled and (not variant.where or _fits(variant.where, tags)):
                yield variant

    def variant(
        self, name: str, tags: Mapping[str, str], overrides: Overrides
    ) -> RuleVariant | None:
        """Return what a rule is for a series, ``None`` if it does not hold there."""
        variant = self.by_name[name].variant
        some = overrides.get(name, ())
        variant = next((it for globs, it in some if _fits(globs, tags)), variant)
        return variant if variant.rule.enabled and _fits(variant.where, tags) else None


def _indexed(position: int, rule: Rule) -> _IndexedRule:
    overrides = []
    for one in rule.overrides:
        of_server = {name: glob for name, glob in one.match.items() if _is_of_server(name)}
        of_tags = {name: glob for name, glob in one.match.items() if not _is_of_server(name)}
        overrides.append((_globs(of_server), _globs(of_tags), RuleVariant(one.rule)))
    return _IndexedRule(position, rule.name, RuleVariant(rule), tuple(overrides))


def _is_of_server(name: str) -> bool:
    """Return whether a glob is for something of the server; tags cannot have such names."""
    return name == "server_id" or name.startswith("label.")


def _exact(rule: Rule) -> tuple[str, str] | None:
    """Return a tag and its value without which neither the rule nor an override of it holds."""
    if any(one.rule.where != rule.where for one in rule.overrides):
        return None
    return next((item for item in rule.where.items() if not _SPECIAL & set(item[1])), None)


def _fits(globs: Globs, values: Mapping[str, str]) -> bool:
    for name, match in globs:
        value = values.get(name)
        if value is None or not match(value):
            return False
    return True


def _globs(globs: Mapping[str, str]) -> Globs:
    return tuple((name, _match(glob)) for name, glob in globs.items())


@lru_cache(maxsize=4096)
def _match(glob: str) -> Match:
    """Return what matches as ``fnmatch.fnmatchcase`` does."""
    if _SPECIAL & set(glob):
        return re.compile(translate(glob)).match
    return glob.__eq__


def _limits(rule: Rule) -> RuleLimits:
    levels = () if rule.is_absent else rule.levels  # no value is beyond any threshold
    above = [level.threshold for level in levels if level.direction == "above"]
    below = [level.threshold for level in levels if level.direction == "below"]
    high = min(above, default=inf)
    is_certain = rule.aggregate == "increase" and not below
    return RuleLimits(
        low=max(below, default=-inf),
        high=high,
        gathers=_gathers(rule),
        is_computed=bool(rule.over_ms) or rule.abs,
        certain_above=max(above, default=inf) if is_certain else inf,
    )


def _gathers(rule: Rule) -> tuple[object, ...] | None:
    if not rule.over_ms:
        return None
    found = (rule.measurement, rule.field, rule.abs)
    return (*found, "increase") if rule.aggregate == "increase" else found
