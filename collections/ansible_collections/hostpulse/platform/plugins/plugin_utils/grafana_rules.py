"""Rules of the rules file as alert rules of Grafana, in the form of its provisioning files."""

from __future__ import annotations

import hashlib
import math
import re
from typing import TYPE_CHECKING, Any

from ansible_collections.hostpulse.platform.plugins.module_utils.durations import (
    parse_seconds,
)
from ansible_collections.hostpulse.platform.plugins.plugin_utils.flux_matching import (
    one,
    predicate,
)
from ansible_collections.hostpulse.platform.plugins.plugin_utils.thresholds import (
    DIRECTIONS,
    OF_THE_SERVER,
    SEVERITIES,
    merge,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Document = "dict[str, Any]"

DATASOURCE = "hostpulse"
EXPRESSION = "__expr__"
LONGEST_UID = 40
DOWN = 2  # the status of a server that is silent (docs/server-metrics.md)
# How far back the last value may lie: agents send every few seconds, the server once a minute.
RECENT, RECENT_OF_THE_SERVER = 180, 300
# What a value is where a further condition of its rule does not hold.
NOTHING = {"above": "-1000000000000.0", "below": "1000000000000.0"}
_SCALED = re.compile(r"\(value / (\d+(?:\.\d+)?)\) \| round\(\d\)")
_EXPRESSION = re.compile(r"{{\s*(.+?)\s*}}")
# value | counted('process', 'processes'): a number with its word; plural: the word alone
_COUNTED = re.compile(r"value \| (counted|plural)\('([^']+)'(?:, '([^']+)')?\)")
_ONLY_WITH_NAMES = re.compile(r".+ if names else ''")
_NAME = re.compile(r"[a-z_][a-z0-9_.]*")


def seconds(duration: Any) -> int:
    """Return the seconds of ``1m30s``, rounded up; 0 of what is no duration."""
    return math.ceil(parse_seconds(str(duration)) or 0)


def uid_of(*parts: str) -> str:
    """Return a uid that follows from its parts, no longer than Grafana allows."""
    whole = "-".join(("hostpulse", *parts)).replace("_", "-")
    if len(whole) <= LONGEST_UID:
        return whole
    return f"{whole[: LONGEST_UID - 9]}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def rules_of(
    rule: dict[str, Any], bucket: str, labels: Mapping[str, Mapping[str, str]]
) -> Iterator[dict[str, Any]]:
    """Yield what one rule becomes: one of Grafana's for each level, and for each override.

    None of an absent rule: a query of some minutes does not know what a host had before.
    """
    if rule.get("kind") == "absent":
        return
    for number, (variant, where) in enumerate(_variants(rule, labels)):
        if not variant.get("enabled", True):
            continue
        for severity in SEVERITIES:
            level = (variant.get("levels") or {}).get(severity)
            if level:
                yield _rule(variant, severity, level, _Place(bucket, number, where))


class _Place:
    """Where a variant applies: its number, 0 for the rule itself, and what its series fulfil."""

    def __init__(self, bucket: str, number: int, where: list[str]) -> None:
        self.bucket = bucket
        self.number = number
        self.where = where


def _variants(
    rule: dict[str, Any], labels: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Yield the rule without what its overrides take, then each override; the first match wins."""
    taken = [predicate(one.get("match") or {}, labels) for one in rule.get("overrides") or []]
    plain = {key: value for key, value in rule.items() if key != "overrides"}
    yield plain, [f"not ({before})" for before in taken]
    for number, override in enumerate(rule.get("overrides") or []):
        changed = {key: value for key, value in override.items() if key != "match"}
        earlier = [f"not ({before})" for before in taken[:number]]
        yield merge(plain, changed), [taken[number], *earlier]


def _rule(
    rule: dict[str, Any], severity: str, level: dict[str, Any], place: _Place
) -> dict[str, Any]:
    liveness = rule.get("kind") == "liveness"
    if liveness:
        # The store has the status down and no level, so every level has the same threshold.
        level = {**level, "above": DOWN - 0.5}
        rule = {**rule, "measurement": "server", "field": "status", "overrides": []}
    direction = "above" if "above" in level else "below"
    divisors = _SCALED.findall(str(rule.get("summary", "")))
    variant = [str(place.number)] if place.number else []
    made = {
        "uid": uid_of(rule["name"], severity, *variant),
        "title": " ".join([rule["name"], severity, *variant]),
        "condition": "C",
        "for": str(level.get("for", rule.get("for", "0s"))),
        "noDataState": rule.get("no_data", "OK"),
        "execErrState": rule.get("no_data", "OK"),
        "annotations": {
            "summary": _summary(rule, divisors),
            "runbook": str(rule.get("runbook", "")),
        },
        "labels": {
            "source": "hostpulse",
            "rule": rule["name"],
            "severity": severity,
            **{str(key): str(value) for key, value in (rule.get("labels") or {}).items()},
        },
        "data": [
            _query(rule, direction, place),
            _expression("B", "reduce", expression="A", reducer=_reducer(rule)),
            _expression("C", "threshold", expression="B", conditions=[_condition(level)]),
            *(
                _expression(f"D{number}", "math", expression=f"$B / {divisor}")
                for number, divisor in enumerate(divisors)
            ),
        ],
    }
    if seconds(rule.get("keep_firing_for", "0s")):
        made["keepFiringFor"] = str(rule["keep_firing_for"])
    return made


def _condition(level: dict[str, Any]) -> dict[str, Any]:
    direction = "above" if "above" in level else "below"
    kinds = {"above": ("gt", "lt"), "below": ("lt", "gt")}[direction]
    found: dict[str, Any] = {"evaluator": {"type": kinds[0], "params": [level[direction]]}}
    if level.get("kind") != "liveness" and DIRECTIONS[direction] in level:
        clear = level[DIRECTIONS[direction]]
        found["unloadEvaluator"] = {"type": kinds[1], "params": [clear]}
    return found


def _reducer(rule: dict[str, Any]) -> str:
    if not seconds(rule.get("over", "0s")):
        return "last"
    return "sum" if _is_increase(rule) else str(rule.get("aggregate", "mean"))


def _is_increase(rule: dict[str, Any]) -> bool:
    return rule.get("aggregate") == "increase"


def _query(rule: dict[str, Any], direction: str, place: _Place) -> dict[str, Any]:
    ours = rule["measurement"] in (*OF_THE_SERVER, "server")
    span = seconds(rule.get("over", "0s")) or (RECENT_OF_THE_SERVER if ours else RECENT)
    return {
        "refId": "A",
        "datasourceUid": DATASOURCE,
        "relativeTimeRange": {"from": span, "to": 0},
        "model": {
            "refId": "A",
            "query": _flux(rule, direction, place),
            "intervalMs": 10000,
            "maxDataPoints": 10000,
        },
    }


def _flux(rule: dict[str, Any], direction: str, place: _Place) -> str:
    """Return the query of a rule's values, a table for each series."""
    field, others = rule["field"], rule.get("only_if") or []
    names = list(dict.fromkeys([field, *(other["field"] for other in others)]))
    fields = " or ".join(f'r._field == "{name}"' for name in names)
    where = [one(name, str(glob), {}) for name, glob in (rule.get("where") or {}).items()]
    if rule.get("kind") == "liveness":
        where = []
    lines = [
        f'from(bucket: "{place.bucket}")',
        "range(start: v.timeRangeStart, stop: v.timeRangeStop)",
        f'filter(fn: (r) => r._measurement == "{rule["measurement"]}" and ({fields}))',
        *(f"filter(fn: (r) => {part})" for part in (*where, *place.where)),
    ]
    if others:
        holds = " and ".join(_holds(other) for other in others)
        lines += [
            'pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")',
            f'filter(fn: (r) => exists r["{field}"])',
            *_valued(field, holds, "" if _is_increase(rule) else NOTHING[direction]),
            f"drop(columns: [{', '.join(f'{chr(34)}{name}{chr(34)}' for name in names)}])",
        ]
    if rule.get("abs"):
        lines.append(
            "map(fn: (r) => ({r with _value: if r._value < 0.0 then -r._value else r._value}))"
        )
    if rule.get("kind") == "liveness":
        # A server that is disabled or was never seen has a higher status and is not missed.
        lines.append(
            f"map(fn: (r) => ({{r with _value: if r._value == {DOWN}.0 then {DOWN}.0 else 0.0}}))"
        )
    if not seconds(rule.get("over", "0s")):
        lines.append("last()")
    elif _is_increase(rule):
        # What was counted between two values; one that went backwards counts from 0.
        lines.append("difference(nonNegative: true, initialZero: true)")
    return "\n  |> ".join(lines)


def _valued(field: str, holds: str, otherwise: str) -> Iterator[str]:
    """Yield what makes a value of a field, or ``otherwise``, if that is given, or no value."""
    if otherwise:
        yield f'map(fn: (r) => ({{r with _value: if {holds} then r["{field}"] else {otherwise}}}))'
    else:
        yield f"filter(fn: (r) => {holds})"
        yield f'map(fn: (r) => ({{r with _value: r["{field}"]}}))'


def _holds(condition: dict[str, Any]) -> str:
    column = f'r["{condition["field"]}"]'
    sign, value = (
        (">", condition["above"]) if "above" in condition else ("<", condition.get("below"))
    )
    return f"(exists {column} and {column} {sign} {float(value or 0)})"


def _expression(ref: str, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "refId": ref,
        "datasourceUid": EXPRESSION,
        "relativeTimeRange": {"from": 0, "to": 0},
        "model": {"refId": ref, "type": kind, **more},
    }


def _counted(kind: str, one: str, many: str | None) -> str:
    """Return a number with the word that fits it, or the word alone, in Grafana's templates."""
    number = 'printf "%.0f" $values.B.Value'
    word = f'{{{{ if eq ({number}) "1" }}}}{one}{{{{ else }}}}{many or one + "s"}{{{{ end }}}}'
    return f"{{{{ {number} }}}} {word}" if kind == "counted" else word


def _summary(rule: dict[str, Any], divisors: list[str]) -> str:
    """Return a summary as Grafana's templates write it; what they cannot say is left out."""
    scaled = [f"(value / {divisor})" for divisor in divisors]

    def said(found: re.Match[str]) -> str:
        # names of what is counted are known to hostpulse alone
        inner = found[1].removeprefix("names or ")
        if _ONLY_WITH_NAMES.fullmatch(inner):
            return ""
        counted = _COUNTED.fullmatch(inner)
        if counted:
            return _counted(*counted.groups())
        for number, start in enumerate(scaled):
            if inner.startswith(start):
                return f'{{{{ printf "%.1f" $values.D{number}.Value }}}}'
        if inner == "value":
            return '{{ printf "%.1f" $values.B.Value }}'
        if inner == "server_name":
            return "{{ $labels.server_id }}"
        plain = inner.removeprefix("labels.").removeprefix("tags.")
        return f"{{{{ $labels.{plain} }}}}" if _NAME.fullmatch(plain) else "…"

    return _EXPRESSION.sub(said, str(rule.get("summary") or rule["name"]))
