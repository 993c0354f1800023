"""Snapshots of evaluation: a host's state as JSON, dumped and restored over a restart.

The state is that of ``HostTimeline.confirmed``; what waits behind a gap is in the journal. Only
what differs from an ordinary series without conditions has a row::

    {"watches": [{"rule": "disk_usage", "tags": {"mount": "/"},
                  "away": 2, "spacing": 6,           # as SeriesPresence, where not 0 and 1
                  "unseen": true,                    # the samples evaluated do not have the series
                  "span": [since, last],            # as SeriesSpan, of an absent rule
                  "window": {"mark": "…", "values": [[time, value], …]},
                  "machine": {"time": …, "value": …, "phase": "firing", "severity": "warning",
                              "started": …, "at": …, "ended": …, "reason": "cleared",
                              "told": ["firing", "warning", …], "fired": …,
                              "levels": {"warning": ["mark", begun, hold, cleared]},
                              "skipped": {"warning": …}, "worst": …},
                  "uncollected": [[…], …],           # as Transition: found, and not reported yet
                  "emitted": [[…], …],               # reported, and not final
                  "base": […]}],                     # as LastReported: what fired before those
     "present": "…",                                 # marks of the last sample's series, packed
     "lost": {"mark": away},                         # and of those that a restart before left
     "order": {"position": [stream, seq, mono_ms, base], "left": [stream, …],
               "gap": {"clock": …, "received": …, "filled": …, "arrived": [[seq, clock], …]},
               "accounts": [{…}, …],                # as StreamAccount, the streams of late
               "conflict": {"returns": …, "stream": …, "alone_ms": …, "seen_ms": …},
               "ahead": [[seq, time], …],           # later than the last, by a clock set back
               "waiting": [entry, …]}}

A release that knows no numbers reads the rows alone, and goes on at the time of the last sample.
"""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hostpulse_server.evaluation.accounting import Accounts, accounts_of
from hostpulse_server.evaluation.host_state import SeriesSpan
from hostpulse_server.evaluation.levels import LevelState, fit, marks
from hostpulse_server.evaluation.presence import SeriesPresence
from hostpulse_server.evaluation.state_machine import (
    NOTHING_COMPARED,
    AlertStateMachine,
    LastReported,
    Transition,
)
from hostpulse_server.evaluation.timeline import SamplePosition, StreamConflict
from hostpulse_server.evaluation.window import AggregationWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hostpulse_server.evaluation.compiled import CompiledRule
    from hostpulse_server.evaluation.host_state import EvaluatedHost
    from hostpulse_server.evaluation.timeline import HostTimeline
    from hostpulse_server.rules.model import Rule
    from hostpulse_server.values.points import Tags

_ORDINARY = SeriesPresence(0, 1)


def dump(timeline: HostTimeline) -> dict[str, Any]:
    """Return what to remember of a host."""
    host = timeline.confirmed
    seen, present = dict(host.presence.extraordinary()), host.series()
    emitted, base = timeline.emitted()
    known = {
        *seen,
        *host.active.machines,
        *host.active.windows,
        *host.active.transitions,
        *host.active.spans,
        *timeline.reported,
        *emitted,
        *base,
    }
    rows = []
    for compiled_rule in sorted(known, key=lambda one: (one.rule.name, one.tags)):
        row = _row(timeline, compiled_rule)
        away, spacing = seen.get(compiled_rule, _ORDINARY)
        if away:
            row["away"] = away
        if spacing != 1:
            row["spacing"] = spacing
        if compiled_rule not in seen and compiled_rule not in present:
            row["unseen"] = True
        if emitted.get(compiled_rule):
            row["emitted"] = emitted[compiled_rule]
        if compiled_rule in base:
            row["base"] = base[compiled_rule]
        rows.append(row)
    document: dict[str, Any] = {"watches": rows} if rows else {}
    return {**document, **_marks(host), **_order(timeline)}


def restore(
    timeline: HostTimeline,
    document: Mapping[str, Any],
    find: Callable[[str, Tags], CompiledRule | None],
) -> list[int]:
    """Restore what was dumped, without what no rule wants any more; return waiting entries."""
    host = timeline.confirmed
    seen: dict[CompiledRule, SeriesPresence] = {}
    emitted: dict[CompiledRule, list[Transition]] = {}
    base: dict[CompiledRule, LastReported] = {}
    for row in document.get("watches", ()):
        compiled_rule = find(row["rule"], tuple(sorted(row.get("tags", {}).items())))
        if compiled_rule is None:
            continue
        if "unseen" not in row:
            seen[compiled_rule] = SeriesPresence(row.get("away", 0), row.get("spacing", 1))
        if "emitted" in row:
            emitted[compiled_rule] = [Transition(*one) for one in row["emitted"]]
        if "base" in row:
            base[compiled_rule] = LastReported(*row["base"])
        _restore_row(timeline, compiled_rule, row)
    host.presence.restore(seen.items(), _marked(document))
    host.resume({compiled_rule for compiled_rule, one in seen.items() if not one.away})
    order = document.get("order")
    if order is None:
        return []
    position = SamplePosition(*order["position"])
    timeline.resume(position, order["left"], emitted, base, order.get("gap", {}))
    timeline.recall(order.get("ahead", ()))
    timeline.conflict = StreamConflict(**order.get("conflict", {}))
    timeline.accounts = Accounts(accounts_of(document))
    return [int(one) for one in order.get("waiting", ())]


def _row(timeline: HostTimeline, compiled_rule: CompiledRule) -> dict[str, Any]:
    active = timeline.confirmed.active
    row: dict[str, Any] = {"rule": compiled_rule.rule.name}
    if compiled_rule.tags:
        row["tags"] = dict(compiled_rule.tags)
    window = active.windows.get(compiled_rule)
    if window is not None:
        row["window"] = {"mark": _mark(compiled_rule), "values": window.pairs}
    machine = active.machines.get(compiled_rule)
    reported = timeline.reported.get(compiled_rule)
    if machine is not None or reported is not None:
        idle = AlertStateMachine(compiled_rule.rule, timeline.confirmed.time_ms)
        row["machine"] = _machine(machine or idle, reported)
        if active.worst.get(compiled_rule, row["machine"]["value"]) != row["machine"]["value"]:
            row["machine"]["worst"] = active.worst[compiled_rule]
    if compiled_rule in active.spans:
        span = active.spans[compiled_rule]
        row["span"] = [span.since_ms, span.last_ms]
    if active.transitions.get(compiled_rule):
        row["uncollected"] = active.transitions[compiled_rule]
    return row


def _restore_row(
    timeline: HostTimeline, compiled_rule: CompiledRule, row: Mapping[str, Any]
) -> None:
    active = timeline.confirmed.active
    window, machine_row = row.get("window"), row.get("machine")
    if window and compiled_rule.gathers and window["mark"] == _mark(compiled_rule):
        active.windows[compiled_rule] = AggregationWindow(
            compiled_rule.rule.over_ms, compiled_rule.rule.aggregate, window["values"]
        )
    if "span" in row and compiled_rule.is_absent:
        active.spans[compiled_rule] = SeriesSpan(*row["span"])
    if machine_row is not None:
        active.changed.add(compiled_rule)
        machine = _restored(compiled_rule.rule, machine_row)
        if not machine.is_idle:
            active.machines[compiled_rule] = machine
        if not compiled_rule.is_absent:
            active.worst[compiled_rule] = machine_row.get("worst", machine_row["value"])
        if machine_row["told"]:
            timeline.reported[compiled_rule] = _reported(machine_row)
        if "fired" not in machine_row:
            _catch_up(timeline, compiled_rule, machine, machine_row)
    if "uncollected" in row:
        active.transitions[compiled_rule] = [Transition(*one) for one in row["uncollected"]]


def _marks(host: EvaluatedHost) -> dict[str, Any]:
    marks = host.presence.marks(host.series())
    present = sorted(mark for mark, away in marks.items() if not away)
    found: dict[str, Any] = {}
    if present:
        packed = struct.pack(f">{len(present)}I", *present)
        found["present"] = base64.b64encode(packed).decode()
    lost = {str(mark): away for mark, away in sorted(marks.items()) if away}
    return {**found, "lost": lost} if lost else found


def _marked(document: Mapping[str, Any]) -> dict[int, int]:
    packed = base64.b64decode(document.get("present", ""))
    marks = {int(mark): away for mark, away in document.get("lost", {}).items()}
    return {**marks, **dict.fromkeys(struct.unpack(f">{len(packed) // 4}I", packed), 0)}


def _order(timeline: HostTimeline) -> dict[str, Any]:
    if timeline.position.stream is None:
        return {}
    order: dict[str, Any] = {"position": timeline.position, "left": timeline.left}
    accounts = timeline.accounts.as_json()
    if accounts:
        order["accounts"] = accounts
    if timeline.conflict.returns:
        order["conflict"] = asdict(timeline.conflict)
    if timeline.ahead:
        order["ahead"] = timeline.ahead
    if timeline.pending:
        order["gap"] = timeline.gap
        order["waiting"] = sorted({one.entry_id for one in timeline.pending.values()})
    return {"order": order}


def _reported(row: Mapping[str, Any]) -> LastReported:
    found = LastReported(*row["told"])
    return found if found.phase == "pending" else found._replace(fired_ms=row.get("fired", 0))


def _catch_up(
    timeline: HostTimeline,
    compiled_rule: CompiledRule,
    machine: AlertStateMachine,
    row: Mapping[str, Any],
) -> None:
    """Make the transitions that a release without them had not collected yet."""
    reported, found = timeline.reported.get(compiled_rule), []
    fires = reported is not None and reported.phase == "firing"
    value = float(row["value"])
    if reported and fires and machine.phase != "firing":
        found.append(
            Transition(
                "resolved",
                reported.severity,
                reported.started_ms,
                row["ended"],
                None if row["reason"] in NOTHING_COMPARED else value,
                row["reason"],
            )
        )
    elif machine.phase == "firing" and not (
        reported and fires and reported.severity == machine.severity
    ):
        found.append(
            Transition("firing", machine.severity, machine.started_ms, machine.at_ms, value)
        )
    if found:
        timeline.confirmed.active.transitions[compiled_rule] = found


def _mark(compiled_rule: CompiledRule) -> str:
    return f"{zlib.crc32(repr(compiled_rule.gathers).encode()):08x}"


def _machine(machine: AlertStateMachine, reported: LastReported | None) -> dict[str, Any]:
    """Return a machine; "ended" and "reason" are for releases that go on from there."""
    levels = list(zip(machine.rule.levels, marks(machine.rule), machine.levels, strict=True))
    row: dict[str, Any] = {
        "time": machine.time_ms,
        "value": machine.value,
        "phase": machine.phase,
        "severity": machine.severity,
        "started": machine.started_ms,
        "at": machine.at_ms,
        "ended": machine.time_ms,
        "reason": "cleared",
        "told": reported[:3] if reported else None,
        "fired": reported.fired_ms if reported else 0,
        "levels": {
            level.severity: [mark, state.begun_ms, state.hold, state.cleared_ms]
            for level, mark, state in levels
        },
    }
    skipped = {level.severity: state.skipped_ms for level, _, state in levels if state.skipped_ms}
    if skipped:
        row["skipped"] = skipped
    return row


def _restored(rule: Rule, row: Mapping[str, Any]) -> AlertStateMachine:
    machine = AlertStateMachine(rule, row["time"])
    machine.value = row["value"]
    machine.phase = row["phase"]
    machine.severity = row["severity"]
    machine.started_ms = row["started"]
    machine.at_ms = row["at"]
    skipped = row.get("skipped", {})
    known = {
        severity: (mark, LevelState(begun, hold, cleared, skipped.get(severity, 0)))
        for severity, (mark, begun, hold, cleared) in row["levels"].items()
    }
    machine.levels = fit(rule, known)
    return machine
