"""Load, processes, uptime, failed systemd units and degraded RAID arrays."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hostpulse_agent.collectors.base import Catalogue, Collector, Field, Point
from hostpulse_agent.collectors.counters import Counters
from hostpulse_agent.collectors.failed_units import count_failed_units, failed_unit_names
from hostpulse_agent.collectors.procfs import counter, read_or_none, tag_value

if TYPE_CHECKING:
    from hostpulse_agent.collectors.processes import ProcessScan
    from hostpulse_agent.collectors.procfs import Tree

CATALOGUE = Catalogue(
    "system",
    "The host as a whole.",
    {},
    {
        "load1": Field("tasks", "tasks that run or wait for CPU or disk, mean over 1 min"),
        "load5": Field("tasks", "the same over 5 min"),
        "load15": Field("tasks", "the same over 15 min"),
        "load_per_core": Field("tasks", "load1 ÷ cores"),
        "cores": Field("count", "cores online", 1),
        "uptime_seconds": Field("seconds", "time since boot"),
        "processes_running": Field("count", "tasks that run or wait for a core"),
        "processes_blocked": Field("count", "tasks that wait for a disk"),
        "processes_zombie": Field("count", "ended, not yet noticed by their parent (each 30 s)"),
        "processes_uninterruptible": Field("count", "in a wait that nothing ends (each 30 s)"),
        "context_switches_per_second": Field("per second", "context switches"),
        "units_failed": Field("count", "failed systemd units (each 60 s); missing without systemd"),
        "raid_degraded": Field("count", "software RAID arrays that lack a member (each 60 s)"),
    },
)
_SLOW_S = 60.0
_MEMBERS = re.compile(rb"\[(\d+)/(\d+)\]")


class SystemCollector(Collector):
    """``/proc/stat``, ``loadavg``, ``uptime``, the scan of processes, systemd, ``/proc/mdstat``."""

    catalogue = CATALOGUE

    def __init__(self, tree: Tree, scan: ProcessScan) -> None:
        """Refresh ``scan`` when it is due and read the rest from ``tree``."""
        self._tree = tree
        self._scan = scan
        self._counters = Counters()
        self._slow: dict[str, float] = {}
        self._slow_at = float("-inf")

    def collect(self, now: float) -> list[Point]:
        """Return the one point."""
        stat, at = self._tree.proc("stat", now)
        load1, load5, load15 = map(float, self._tree.proc("loadavg", now).data.split()[:3])
        cores = stat.count(b"\ncpu") or 1
        fields: dict[str, float] = {
            "load1": load1,
            "load5": load5,
            "load15": load15,
            "load_per_core": load1 / cores,
            "cores": cores,
            "uptime_seconds": float(self._tree.proc("uptime", now).data.split()[0]),
        }
        tail = stat[stat.find(b"\nctxt") :]
        for name, key in (("running", b"procs_running"), ("blocked", b"procs_blocked")):
            number = counter(tail, key)
            if number is not None:
                fields[f"processes_{name}"] = number
        switches = counter(tail, b"ctxt")
        change = None if switches is None else self._counters.change("ctxt", at, (switches,))
        rate = change.rate(0) if change else None
        if rate is not None:
            fields["context_switches_per_second"] = rate
        self._scan.refresh(now)
        fields["processes_zombie"] = self._scan.zombie
        fields["processes_uninterruptible"] = self._scan.uninterruptible
        fields.update(self._seldom(now))
        return [Point("system", {}, fields)]

    def _seldom(self, now: float) -> dict[str, float]:
        """Return the fields that change seldom, refreshed once a minute."""
        if now - self._slow_at >= _SLOW_S:
            self._slow_at = now
            mdstat = read_or_none(f"{self._tree.paths.proc}/mdstat") or b""
            self._slow = {"raid_degraded": degraded(mdstat)}
            names = {"arrays": degraded_names(mdstat)}
            failed = count_failed_units(self._tree.paths.run)
            if failed is not None:
                self._slow["units_failed"] = failed
                names["units"] = failed_unit_names(self._tree.paths.run) if failed else []
            self.names = names
        return self._slow


def degraded(mdstat: bytes) -> int:
    """Count the arrays in ``/proc/mdstat`` with fewer members at work than wanted: ``[2/1]``."""
    return sum(int(want) > int(have) for want, have in _MEMBERS.findall(mdstat))


def degraded_names(mdstat: bytes) -> list[str]:
    """Return the names of those arrays."""
    found, name = [], b""
    for line in mdstat.split(b"\n"):
        head, colon, _ = line.partition(b" : ")
        if colon and not head.startswith(b" "):
            name = head.strip()
        members = _MEMBERS.search(line)
        if name and members and int(members[1]) > int(members[2]):
            found.append(tag_value(name))
    return found
