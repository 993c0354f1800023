"""Memory, from the kernel's own estimate of what is available."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_agent.collectors.base import Catalogue, Collector, Field, Point
from hostpulse_agent.collectors.procfs import meminfo, read_or_none

if TYPE_CHECKING:
    from hostpulse_agent.collectors.procfs import Tree

CATALOGUE = Catalogue(
    "memory",
    "Physical memory.",
    {},
    {
        "total_bytes": Field("bytes", "memory the kernel manages"),
        "available_bytes": Field(
            "bytes", "could be had without swapping (reclaimable ZFS cache included)"
        ),
        "used_bytes": Field("bytes", "total - available"),
        "free_bytes": Field("bytes", "not used for anything, not even a cache"),
        "buffers_bytes": Field("bytes", "cache of block devices"),
        "cached_bytes": Field("bytes", "cache of files, shared memory included"),
        "shared_bytes": Field("bytes", "shared memory and tmpfs"),
        "slab_bytes": Field("bytes", "kernel objects"),
        "hugepages_bytes": Field("bytes", "set aside for huge pages"),
        "used_percent": Field("percent", "used ÷ total", 0, 100),
    },
)
_PLAIN = (
    ("total_bytes", b"MemTotal"),
    ("free_bytes", b"MemFree"),
    ("buffers_bytes", b"Buffers"),
    ("cached_bytes", b"Cached"),
    ("shared_bytes", b"Shmem"),
    ("slab_bytes", b"Slab"),
)


class MemoryCollector(Collector):
    """``/proc/meminfo``, with the reclaimable ZFS cache counted as available."""

    catalogue = CATALOGUE

    def __init__(self, tree: Tree) -> None:
        """Read from ``tree``."""
        self._tree = tree

    def collect(self, now: float) -> list[Point]:
        """Return the one point. Raises ``ValueError`` when the kernel is older than 3.14."""
        info = meminfo(self._tree.proc("meminfo", now).data)
        try:
            total = info[b"MemTotal"] * 1024
            available = info[b"MemAvailable"] * 1024
        except KeyError as error:
            raise ValueError(f"/proc/meminfo has no {error.args[0].decode()}") from None
        available = min(total, available + self._reclaimable_arc())
        fields: dict[str, float] = {name: info[key] * 1024 for name, key in _PLAIN if key in info}
        fields["available_bytes"] = available
        fields["used_bytes"] = total - available
        if b"HugePages_Total" in info and b"Hugepagesize" in info:
            fields["hugepages_bytes"] = info[b"HugePages_Total"] * info[b"Hugepagesize"] * 1024
        if total:
            fields["used_percent"] = 100 * (total - available) / total
        return [Point("memory", {}, fields)]

    def _reclaimable_arc(self) -> int:
        """Return the bytes of ZFS's cache above its minimum; the kernel counts them as used."""
        data = read_or_none(f"{self._tree.paths.proc}/spl/kstat/zfs/arcstats")
        if data is None:
            return 0
        rows = (line.split() for line in data.split(b"\n")[2:])
        stats = {row[0]: int(row[2]) for row in rows if len(row) == 3}  # noqa: PLR2004 -- name, type, value
        return max(0, stats.get(b"size", 0) - stats.get(b"c_min", 0))
