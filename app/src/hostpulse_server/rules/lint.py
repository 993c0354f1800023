"""Lint warnings of ``rules check``: rules that are valid but probably not meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_server.rules.metric_names import CUSTOM, FIELDS, TAGS, suggest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostpulse_server.rules.loading import RuleBundle
    from hostpulse_server.rules.model import Rule


def untested(bundle: RuleBundle) -> list[str]:
    """Return the names of rules that are on and have no test."""
    tested = {case.rule.name for case in bundle.cases}
    return [
        name for name, rule in bundle.rules.rules.items() if rule.enabled and name not in tested
    ]


def warnings(bundle: RuleBundle) -> list[str]:
    """Return a line for all that deserves a second look."""
    found = [f"rule {name} has no test" for name in untested(bundle)]
    for rule in bundle.rules.rules.values():
        found += [f"rule {rule.name}: {text}" for text in (*_unmeasured(rule), *_unmatched(rule))]
    return found


def _unmeasured(rule: Rule) -> Iterator[str]:
    """Yield what names a measurement or a field that nothing writes: it never fires."""
    if rule.kind == "liveness" or rule.measurement.startswith(CUSTOM):
        return
    fields = FIELDS.get(rule.measurement)
    if fields is None:
        yield (
            f"measurement: there is no {rule.measurement}, so it never fires; "
            f"{suggest(rule.measurement, FIELDS)} (your own begin with {CUSTOM})"
        )
        return
    places = {"field": rule.field}
    for number, condition in enumerate(rule.only_if, 1):
        places[f"only_if[{number}].field"] = condition.field
    for number, override in enumerate(rule.overrides, 1):
        if override.rule.only_if != rule.only_if:
            for inner, condition in enumerate(override.rule.only_if, 1):
                places[f"overrides[{number}].only_if[{inner}].field"] = condition.field
    for place, name in places.items():
        if name not in fields:
            yield (
                f"{place}: {rule.measurement} has no field {name}, so it never fires; "
                f"{suggest(name, fields)}"
            )


def _unmatched(rule: Rule) -> Iterator[str]:
    """Yield what names a tag that the rule's measurement does not have: it never matches."""
    tags = () if rule.kind == "liveness" else TAGS.get(rule.measurement)
    if tags is None:
        return
    what = "silence" if rule.kind == "liveness" else rule.measurement
    for name in rule.where:
        if name not in tags:
            yield f"where.{name}: {what} has no tag {name}, so nothing matches"
    for number, override in enumerate(rule.overrides, 1):
        for name in override.match:
            if name not in ("server_id", *tags) and not name.startswith("label."):
                yield (
                    f"overrides[{number}].match.{name}: {what} has no tag {name}, so nothing "
                    f"matches; a label is label.{name}"
                )
