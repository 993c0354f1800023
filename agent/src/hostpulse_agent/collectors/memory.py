"""Memory, from the kernel's own estimate of what is available."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_agent.collectors.base import Catalogue, Collector, Field, Point
from hostpulse_agent.collectors.procfs import meminfo, read_int, read_or_none

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


_OF_CGROUP = (
    ("cached_bytes", b"file"),
    ("shared_bytes", b"shmem"),
    ("slab_bytes", b"slab"),
)


class MemoryCollector(Collector):
    """``/proc/meminfo`` with the reclaimable ZFS cache as available, or a container's limit."""

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
        limited = self._limit()
        if limited and limited["total_bytes"] < total:
            return [Point("memory", {}, limited)]
        used = total - info.get(b"MemFree", 0) * 1024
        available = min(total, available + self._reclaimable_arc(used))
        fields: dict[str, float] = {name: info[key] * 1024 for name, key in _PLAIN if key in info}
        fields["available_bytes"] = available
        fields["used_bytes"] = total - available
        if b"HugePages_Total" in info and b"Hugepagesize" in info:
            fields["hugepages_bytes"] = info[b"HugePages_Total"] * info[b"Hugepagesize"] * 1024
        if total:
            fields["used_percent"] = 100 * (total - available) / total
        return [Point("memory", {}, fields)]

    def _reclaimable_arc(self, used: int) -> int:
        """Return the bytes of ZFS's cache above its minimum; the kernel counts them as used.

        In a container the cache is the host's, whatever ``/proc/meminfo`` speaks of: lxcfs mounts
        one of the container there. Nor can a cache be in memory that is not ``used``.
        """
        data = read_or_none(f"{self._tree.paths.proc}/spl/kstat/zfs/arcstats")
        if data is None or self._is_virtual():
            return 0
        rows = (line.split() for line in data.split(b"\n")[2:])
        stats = {row[0]: int(row[2]) for row in rows if len(row) == 3}  # noqa: PLR2004 -- name, type, value
        size = stats.get(b"size", 0)
        return max(0, size - stats.get(b"c_min", 0)) if size <= used else 0

    def _is_virtual(self) -> bool:
        """Return whether something is mounted over ``/proc/meminfo``."""
        table = read_or_none(f"{self._tree.paths.proc}/self/mountinfo") or b""
        return b" /proc/meminfo " in table

    def _limit(self) -> dict[str, float]:
        """Return what a container may use, and uses, where its limit is below the host's memory.

        The root of a host's own cgroups has no limit file. As the kernel's estimate does for a
        host, pages of files that were not used lately count as available
        (Documentation/admin-guide/cgroup-v2.rst, memory).
        """
        folder = f"{self._tree.paths.sys}/fs/cgroup"
        limit = read_int(f"{folder}/memory.max")
        current = read_int(f"{folder}/memory.current")
        if limit is None or current is None or limit <= 0:
            return {}
        rows = (row.split() for row in (read_or_none(f"{folder}/memory.stat") or b"").split(b"\n"))
        stat = {row[0]: int(row[1]) for row in rows if len(row) == 2}  # noqa: PLR2004 -- name, value
        used = max(0, current - stat.get(b"inactive_file", 0))
        return {
            "total_bytes": limit,
            "available_bytes": max(0, limit - used),
            "used_bytes": min(used, limit),
            "free_bytes": max(0, limit - current),
            **{name: stat[key] for name, key in _OF_CGROUP if key in stat},
            "used_percent": 100 * min(used, limit) / limit,
        }
