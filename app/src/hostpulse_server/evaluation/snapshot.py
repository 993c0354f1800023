"""Snapshots of evaluation: a host's state as JSON, dumped and restored over a restart.

Only what differs from an ordinary series without conditions is there::

    {"watches": [{"rule": "disk_usage", "tags": {"mount": "/"},
                  "away": 2, "spacing": 6,                            # as Seen, where not 0 and 1
                  "window": {"mark": "…", "values": [[time, value], …]},
                  "machine": {"time": …, "value": …, "phase": "firing", "severity": "warning",
                              "started": …, "at": …, "ended": …, "reason": "cleared",
                              "told": ["firing", "warning", …],
                              "levels": {"warning": ["mark", begun, hold, cleared]}}}]}
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from hostpulse_server.evaluation.levels import LevelState, fit, marks
from hostpulse_server.evaluation.presence import SeriesPresence
from hostpulse_server.evaluation.state_machine import AlertStateMachine, LastReported
from hostpulse_server.evaluation.window import AggregationWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hostpulse_server.evaluation.compiled import CompiledRule
    from hostpulse_server.evaluation.host_state import EvaluatedHost
    from hostpulse_server.rules.model import Rule
    from hostpulse_server.values.points import Tags

_ORDINARY = SeriesPresence(0, 1)


def dump(host: EvaluatedHost) -> dict[str, Any]:
    """Return what to remember of a host."""
    seen = dict(host.presence.extraordinary())
    compiled_rules = {*seen, *host.active.machines, *host.active.windows}
    if not compiled_rules:
        return {}
    rows = []
    for compiled_rule in sorted(compiled_rules, key=lambda one: (one.rule.name, one.tags)):
        row: dict[str, Any] = {"rule": compiled_rule.rule.name}
        if compiled_rule.tags:
            row["tags"] = dict(compiled_rule.tags)
        away, spacing = seen.get(compiled_rule, _ORDINARY)
        if away:
            row["away"] = away
        if spacing != 1:
            row["spacing"] = spacing
        window = host.active.windows.get(compiled_rule)
        if window is not None:
            row["window"] = {"mark": _mark(compiled_rule), "values": window.pairs}
        machine = host.active.machines.get(compiled_rule)
        if machine is not None:
            row["machine"] = _machine(machine)
        rows.append(row)
    return {"watches": rows}


def restore(
    host: EvaluatedHost,
    document: Mapping[str, Any],
    find: Callable[[str, Tags], CompiledRule | None],
) -> None:
    """Restore what was dumped, without what no rule wants any more."""
    seen: dict[CompiledRule, SeriesPresence] = {}
    for row in document.get("watches", ()):
        compiled_rule = find(row["rule"], tuple(sorted(row.get("tags", {}).items())))
        if compiled_rule is None:
            continue
        seen[compiled_rule] = SeriesPresence(row.get("away", 0), row.get("spacing", 1))
        window = row.get("window")
        if window and compiled_rule.gathers and window["mark"] == _mark(compiled_rule):
            host.active.windows[compiled_rule] = AggregationWindow(
                compiled_rule.rule.over_ms, compiled_rule.rule.aggregate, window["values"]
            )
        if "machine" in row:
            machine = host.active.machines[compiled_rule] = _restored(
                compiled_rule.rule, row["machine"]
            )
            if not machine.is_unchanged:
                host.active.changed.add(compiled_rule)
    host.presence.restore(seen.items())
    host.resume({compiled_rule for compiled_rule, one in seen.items() if not one.away})


def _mark(compiled_rule: CompiledRule) -> str:
    return f"{zlib.crc32(repr(compiled_rule.gathers).encode()):08x}"


def _machine(machine: AlertStateMachine) -> dict[str, Any]:
    levels = zip(machine.rule.levels, marks(machine.rule), machine.levels, strict=True)
    return {
        "time": machine.time_ms,
        "value": machine.value,
        "phase": machine.phase,
        "severity": machine.severity,
        "started": machine.started_ms,
        "at": machine.at_ms,
        "ended": machine.ended_ms,
        "reason": machine.reason,
        "told": machine.reported,
        "levels": {
            level.severity: [mark, state.begun_ms, state.hold, state.cleared_ms]
            for level, mark, state in levels
        },
    }


def _restored(rule: Rule, row: Mapping[str, Any]) -> AlertStateMachine:
    machine = AlertStateMachine(rule, row["time"])
    machine.value = row["value"]
    machine.phase = row["phase"]
    machine.severity = row["severity"]
    machine.started_ms = row["started"]
    machine.at_ms = row["at"]
    machine.ended_ms = row["ended"]
    machine.reason = row["reason"]
    machine.reported = LastReported(*row["told"]) if row["told"] else None
    known = {
        severity: (mark, LevelState(begun, hold, cleared))
        for severity, (mark, begun, hold, cleared) in row["levels"].items()
    }
    machine.levels = fit(rule, known)
    return machine
