"""CPU time by kind, for the machine and for each core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_agent.collectors.base import Catalogue, Collector, Field, Point
from hostpulse_agent.collectors.counters import Counters

if TYPE_CHECKING:
    from hostpulse_agent.collectors.procfs import Tree

CATALOGUE = Catalogue(
    "cpu",
    "Where CPU time went since the sample before.",
    {
        "core": "`total`, or the number of a core (only `usage_percent` unless "
        '`per_core = "all"`; no cores with `"off"`)'
    },
    {
        "usage_percent": Field("percent", "busy time: 100 - idle - iowait", 0, 100),
        "user_percent": Field("percent", "user code, guests of virtual machines included", 0, 100),
        "nice_percent": Field("percent", "user code of lowered priority", 0, 100),
        "system_percent": Field("percent", "kernel code", 0, 100),
        "idle_percent": Field("percent", "nothing to do", 0, 100),
        "iowait_percent": Field("percent", "idle while a disk was waited for", 0, 100),
        "irq_percent": Field("percent", "hardware interrupts", 0, 100),
        "softirq_percent": Field("percent", "software interrupts", 0, 100),
        "steal_percent": Field("percent", "wanted, but the hypervisor ran something else", 0, 100),
    },
)
# In the order of /proc/stat. `guest` and `guest_nice` follow there, and are already inside
# user and nice.
_KINDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_NAMES = tuple(f"{kind}_percent" for kind in _KINDS)
_IDLE, _IOWAIT = 3, 4


class CpuCollector(Collector):
    """Shares of the ticks in ``/proc/stat`` between two readings."""

    catalogue = CATALOGUE

    def __init__(self, tree: Tree, per_core: str = "usage") -> None:
        """Collect single cores as ``per_core`` says: ``usage``, ``all`` or ``off``."""
        self._tree = tree
        self._per_core = per_core
        self._counters = Counters()

    def collect(self, now: float) -> list[Point]:
        """Return one point for ``total`` and one for each core."""
        data, at = self._tree.proc("stat", now)
        points: list[Point] = []
        seen: list[str] = []
        # The cpu lines come first; what follows may be tens of kilobytes.
        for line in data[: data.find(b"\nintr")].split(b"\n"):
            if not line.startswith(b"cpu"):
                break
            label, *ticks = line.split()
            core = label[3:].decode() or "total"
            if core != "total" and self._per_core == "off":
                break
            seen.append(core)
            change = self._counters.change(core, at, list(map(int, ticks[: len(_KINDS)])))
            if change is not None:
                everything = core == "total" or self._per_core == "all"
                fields = shares(change.deltas, everything=everything)
                if fields:
                    points.append(Point("cpu", {"core": core}, fields))
        self._counters.keep(seen)
        return points


def shares(deltas: tuple[int | None, ...], *, everything: bool) -> dict[str, float]:
    """Return ``usage_percent``, or all fields, from the ticks spent on each kind.

    Nothing when no time passed or a counter went backwards (iowait does at times): the shares
    of a sum that is not known are not known either.
    """
    known = [delta for delta in deltas if delta is not None]
    total = sum(known)
    if len(known) < len(deltas) or total <= 0:
        return {}
    # One division of integers is rounded once, so that full load is 100 and not a hair above.
    fields = {"usage_percent": 100 * (total - known[_IDLE] - known[_IOWAIT]) / total}
    if everything:
        for name, delta in zip(_NAMES, known):
            fields[name] = 100 * delta / total
    return fields
