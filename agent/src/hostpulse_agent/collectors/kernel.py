"""Kernel limits: OOM kills, open files, connection tracking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_agent.collectors.base import Catalogue, Collector, Field, Point
from hostpulse_agent.collectors.counters import Counters
from hostpulse_agent.collectors.procfs import counter, read_int

if TYPE_CHECKING:
    from hostpulse_agent.collectors.procfs import Tree

CATALOGUE = Catalogue(
    "kernel",
    "Limits that are reached without a warning.",
    {},
    {
        "oom_kills": Field("count", "processes killed for want of memory since the sample before"),
        "oom_kills_total": Field("count", "processes killed for want of memory since boot"),
        "open_files_percent": Field("percent", "open files ÷ the kernel's limit", 0, 100),
        "conntrack_percent": Field(
            "percent", "tracked connections ÷ limit; missing without connection tracking", 0, 100
        ),
    },
)


class KernelCollector(Collector):
    """``oom_kill`` of ``/proc/vmstat``, ``fs/file-nr`` and the table of connection tracking."""

    catalogue = CATALOGUE

    def __init__(self, tree: Tree) -> None:
        """Read from ``tree``."""
        self._tree = tree
        self._counters = Counters()

    def collect(self, now: float) -> list[Point]:
        """Return the one point."""
        fields: dict[str, float] = {}
        vmstat, at = self._tree.proc("vmstat", now)
        kills = counter(vmstat, b"oom_kill")
        change = None if kills is None else self._counters.change("oom", at, (kills,))
        if kills is not None:
            fields["oom_kills_total"] = kills
        if change is not None and change.deltas[0] is not None:
            fields["oom_kills"] = change.deltas[0]
        opened, _, limit = map(int, self._tree.proc("sys/fs/file-nr", now).data.split())
        if limit > 0:
            fields["open_files_percent"] = min(100.0, 100 * opened / limit)
        base = f"{self._tree.paths.proc}/sys/net/netfilter/nf_conntrack_"
        tracked, most = read_int(base + "count"), read_int(base + "max")
        if tracked is not None and most:
            fields["conntrack_percent"] = min(100.0, 100 * tracked / most)
        return [Point("kernel", {}, fields)]
