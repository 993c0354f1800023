"""Reads a ``Rule`` from a mapping that is merged from all files."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from hostpulse_server.config import values
from hostpulse_server.rules.merge import merge
from hostpulse_server.rules.model import Override, Rule
from hostpulse_server.rules.schema.levels import (
    read_absent,
    read_comparison,
    read_levels,
    read_liveness,
)
from hostpulse_server.rules.schema.tables import TableReader
from hostpulse_server.rules.summary import fault_of_summary
from hostpulse_server.rules.yaml_nodes import Node

if TYPE_CHECKING:
    from collections.abc import Container, ItemsView, Iterable

    from hostpulse_server.rules.model import Kind
    from hostpulse_server.rules.schema.tables import FaultSink
    from hostpulse_server.rules.yaml_nodes import Position

_DAY_MS: Final = 86_400_000
_KIND: Final = values.choice("threshold", "liveness", "absent")
_AGGREGATE: Final = values.choice("mean", "min", "max", "increase")
_EVERY: Final = ("name", "kind", "summary", "runbook", "for", "levels", "labels", "enabled")
_THRESHOLD: Final = (
    *("measurement", "field", "where", "over", "aggregate", "only_if", "abs"),
    *("max_gap", "keep_firing_for", "edge"),
)
_ABSENT: Final = ("measurement", "field", "where", "present_for", "forget_after")
_AWAY_FOR_MS: Final = 300_000
_FORGET_AFTER_MS: Final = 7 * _DAY_MS
_REQUIRED: Final = {
    "name": "every rule has one, such as cpu_usage",
    "measurement": "name what to look at, such as cpu",
    "field": "name one of the measurement's fields, such as usage_percent",
    "levels": "write at least one, such as warning: {above: 80, clear_below: 75}",
}
# an alert is the same one whatever override holds: these make up what it is
_IDENTITY: Final = ("name", "kind", "measurement", "field", "overrides")


def read_rule(node: Node, report: FaultSink) -> Rule:
    """Read a rule; what is faulty is reported and the rule then of no use."""
    table = TableReader(node, "", report)
    plain = Node(node.at, {key: one for key, one in _items(node) if key != "overrides"})
    reported: set[tuple[str, str]] = set()

    def remember(at: Position, key: str, text: str) -> None:
        reported.add((key, text))
        report(at, key, text)

    rule = _read_plain(plain, remember)
    overrides = table.tables("overrides")
    return dataclasses.replace(
        rule, overrides=tuple(_override(plain, override, reported) for override in overrides)
    )


def _override(rule: Node, override: TableReader, reported: Container[tuple[str, str]]) -> Override:
    match = override.texts("match")
    if not match:
        override.fault("match", "is missing; name server_id, a tag or label.NAME with a glob")
    for key in _IDENTITY:
        if key in override:
            override.fault(key, "cannot be overridden; write a rule of its own")
    changes = {key: node for key, node in _items(override.node) if key not in (*_IDENTITY, "match")}
    if not changes:
        override.fault("", "changes nothing; write what is different there")
    place = override.at

    def report(at: Position, key: str, text: str) -> None:
        if (key, text) not in reported:  # a fault of the rule itself is reported once
            is_below = at.file == place.file and at.line >= place.line
            override.fault(key, text, at if is_below else place)

    return Override(match, _read_plain(merge(rule, Node(place, changes)), report))


def _items(node: Node) -> ItemsView[str, Node]:
    return (node.table or {}).items()


def _read_plain(node: Node, report: FaultSink) -> Rule:
    table = TableReader(node, "", report)
    kind: Kind = table.read("kind", _KIND, "threshold")
    for_ms = table.duration_ms("for")
    common = Rule(
        name=table.name("name"),
        kind=kind,
        summary=table.text("summary"),
        runbook=_runbook(table),
        labels=table.texts("labels"),
        enabled=table.flag("enabled", default=True),
    )
    if kind == "liveness":
        table.only(_EVERY, hint=f"of kind: liveness only {', '.join(_EVERY)} and overrides")
        rule = dataclasses.replace(common, liveness=read_liveness(table, for_ms))
    elif kind == "absent":
        known = (*_EVERY, *_ABSENT)
        table.only(
            (*known, "overrides"), hint=f"of kind: absent only {', '.join(known)} and overrides"
        )
        _require(table, ("name", "measurement", "field"))
        rule = _absent(table, common, _AWAY_FOR_MS if for_ms is None else for_ms)
    else:
        table.only((*_EVERY, *_THRESHOLD, "overrides"))
        _require(table, _REQUIRED)
        rule = _threshold(table, common, for_ms or 0)
    if text := fault_of_summary(rule):
        table.fault("summary", text)
    return rule


def _require(table: TableReader, keys: Iterable[str]) -> None:
    for key in keys:
        if key not in table:
            table.fault(key, f"is missing; {_REQUIRED[key]}")


def _absent(table: TableReader, rule: Rule, for_ms: int) -> Rule:
    present_ms = table.duration_ms("present_for")
    levels = read_absent(table, for_ms)
    forget_ms = table.duration_ms("forget_after")
    forget_ms = _FORGET_AFTER_MS if forget_ms is None else forget_ms
    longest_ms = max((level.for_ms for level in levels), default=for_ms)
    if forget_ms <= longest_ms:
        text = "must be longer than for, or the alert is over before it fires"
        table.fault("forget_after" if "forget_after" in table else "for", text)
    return dataclasses.replace(
        rule,
        measurement=table.name("measurement"),
        field=table.name("field"),
        where=table.texts("where"),
        present_for_ms=_DAY_MS if present_ms is None else present_ms,
        forget_after_ms=forget_ms,
        levels=levels,
    )


def _threshold(table: TableReader, rule: Rule, for_ms: int) -> Rule:
    only_if = [read_comparison(one) for one in table.tables("only_if")]
    over_ms = table.duration_ms("over", high_ms=_DAY_MS) or 0
    aggregate = table.read("aggregate", _AGGREGATE, "mean")
    if aggregate == "increase" and not over_ms:
        table.fault("aggregate", "increase needs over: write the time it is counted over")
    return dataclasses.replace(
        rule,
        measurement=table.name("measurement"),
        field=table.name("field"),
        where=table.texts("where"),
        over_ms=over_ms,
        aggregate=aggregate,
        only_if=tuple(one for one in only_if if one is not None),
        abs=table.flag("abs", default=False),
        max_gap_ms=table.duration_ms("max_gap", low_ms=1),
        keep_firing_ms=table.duration_ms("keep_firing_for") or 0,
        edge=table.flag("edge", default=False),
        levels=read_levels(table, for_ms),
    )


def _runbook(table: TableReader) -> str:
    text = table.text("runbook")
    if not text.isprintable():
        table.fault("runbook", "must be one line; write an address or a file and its heading")
    return text
