"""Swap space and the traffic to and from it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hostpulse_agent.collectors.base import Catalogue, Collector, Field, Point
from hostpulse_agent.collectors.counters import Counters, put_rates
from hostpulse_agent.collectors.procfs import counter, meminfo

if TYPE_CHECKING:
    from hostpulse_agent.collectors.procfs import Tree

CATALOGUE = Catalogue(
    "swap",
    "Swap space; without any, total and used are 0.",
    {},
    {
        "total_bytes": Field("bytes", "size of all swap areas"),
        "used_bytes": Field("bytes", "total - free"),
        "free_bytes": Field("bytes", "not used"),
        "used_percent": Field("percent", "used ÷ total; 0 without swap", 0, 100),
        "in_bytes_per_second": Field("bytes per second", "read back from swap"),
        "out_bytes_per_second": Field("bytes per second", "written to swap"),
    },
)
_PAGE = os.sysconf("SC_PAGE_SIZE")


class SwapCollector(Collector):
    """``/proc/meminfo`` and the page counters of ``/proc/vmstat``."""

    catalogue = CATALOGUE

    def __init__(self, tree: Tree) -> None:
        """Read from ``tree``."""
        self._tree = tree
        self._counters = Counters()

    def collect(self, now: float) -> list[Point]:
        """Return the one point."""
        info = meminfo(self._tree.proc("meminfo", now).data)
        total = info.get(b"SwapTotal", 0) * 1024
        free = info.get(b"SwapFree", 0) * 1024
        used = max(0, total - free)
        fields: dict[str, float] = {
            "total_bytes": total,
            "used_bytes": used,
            "free_bytes": free,
            "used_percent": 100 * used / total if total else 0.0,
        }
        vmstat, at = self._tree.proc("vmstat", now)
        pages = (counter(vmstat, b"pswpin"), counter(vmstat, b"pswpout"))
        if None not in pages:
            moved = [(number or 0) * _PAGE for number in pages]
            change = self._counters.change("swap", at, moved)
            put_rates(fields, ("in_bytes_per_second", "out_bytes_per_second"), change)
        return [Point("swap", {}, fields)]
