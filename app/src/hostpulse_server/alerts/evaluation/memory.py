"""What evaluation remembers of a host over a restart, as JSON, and taking it over again.

Only what differs from an ordinary quiet series is there::

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

from hostpulse_server.alerts.evaluation.levels import LevelState, fit, marks
from hostpulse_server.alerts.evaluation.presence import Seen
from hostpulse_server.alerts.machine import Machine, Told
from hostpulse_server.alerts.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hostpulse_server.alerts.evaluation.host import Host
    from hostpulse_server.alerts.evaluation.plans import Watch
    from hostpulse_server.alerts.rules.model import Rule
    from hostpulse_server.store.base import Tags

_ORDINARY = Seen(0, 1)


def dump(host: Host) -> dict[str, Any]:
    """Return what to remember of a host."""
    seen = dict(host.presence.extraordinary())
    watches = {*seen, *host.standing.machines, *host.standing.windows}
    if not watches:
        return {}
    rows = []
    for watch in sorted(watches, key=lambda one: (one.rule.name, one.tags)):
        row: dict[str, Any] = {"rule": watch.rule.name}
        if watch.tags:
            row["tags"] = dict(watch.tags)
        away, spacing = seen.get(watch, _ORDINARY)
        if away:
            row["away"] = away
        if spacing != 1:
            row["spacing"] = spacing
        window = host.standing.windows.get(watch)
        if window is not None:
            row["window"] = {"mark": _mark(watch), "values": window.pairs}
        machine = host.standing.machines.get(watch)
        if machine is not None:
            row["machine"] = _machine(machine)
        rows.append(row)
    return {"watches": rows}


def restore(
    host: Host, document: Mapping[str, Any], find: Callable[[str, Tags], Watch | None]
) -> None:
    """Take over what was dumped; what no rule stands behind any more is left out."""
    seen: dict[Watch, Seen] = {}
    for row in document.get("watches", ()):
        watch = find(row["rule"], tuple(sorted(row.get("tags", {}).items())))
        if watch is None:
            continue
        seen[watch] = Seen(row.get("away", 0), row.get("spacing", 1))
        window = row.get("window")
        if window and watch.gathers and window["mark"] == _mark(watch):
            host.standing.windows[watch] = Window(
                watch.rule.over_ms, watch.rule.aggregate, window["values"]
            )
        if "machine" in row:
            machine = host.standing.machines[watch] = _restored(watch.rule, row["machine"])
            if not machine.is_settled:
                host.standing.changed.add(watch)
    host.presence.restore(seen.items())
    host.resume({watch for watch, one in seen.items() if not one.away})


def _mark(watch: Watch) -> str:
    return f"{zlib.crc32(repr(watch.gathers).encode()):08x}"


def _machine(machine: Machine) -> dict[str, Any]:
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
        "told": machine.told,
        "levels": {
            level.severity: [mark, state.begun_ms, state.hold, state.cleared_ms]
            for level, mark, state in levels
        },
    }


def _restored(rule: Rule, row: Mapping[str, Any]) -> Machine:
    machine = Machine(rule, row["time"])
    machine.value = row["value"]
    machine.phase = row["phase"]
    machine.severity = row["severity"]
    machine.started_ms = row["started"]
    machine.at_ms = row["at"]
    machine.ended_ms = row["ended"]
    machine.reason = row["reason"]
    machine.told = Told(*row["told"]) if row["told"] else None
    known = {
        severity: (mark, LevelState(begun, hold, cleared))
        for severity, (mark, begun, hold, cleared) in row["levels"].items()
    }
    machine.levels = fit(rule, known)
    return machine
