"""Traffic of block devices, under names that are stable across reboots."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from hostpulse_agent.collectors.base import Catalogue, Collector, Field, Point
from hostpulse_agent.collectors.counters import Change, Counters, put_rates
from hostpulse_agent.collectors.procfs import read_or_none, tag_value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostpulse_agent.collectors.procfs import Tree

CATALOGUE = Catalogue(
    "diskio",
    "Traffic of whole block devices that were ever used (no partitions, loop, RAM or CD drives).",
    {"device": "name of the LVM or other mapped volume, or of the RAID, else the kernel's"},
    {
        "read_bytes_per_second": Field("bytes per second", "read"),
        "write_bytes_per_second": Field("bytes per second", "written"),
        "reads_per_second": Field("per second", "reads finished"),
        "writes_per_second": Field("per second", "writes finished"),
        "busy_percent": Field("percent", "time with at least one request under way", 0, 100),
        "await_ms": Field(
            "milliseconds", "mean time of a read or write, queueing included; missing without any"
        ),
    },
)
_SECTOR = 512  # the unit of /proc/diskstats, not the device's own
_NVME_PATH = re.compile(rb"(nvme\d+)c\d+(n\d+)")
_Row = tuple[bytes, bytes, tuple[int, ...]]
_SKIP = (b"loop", b"ram", b"sr", b"fd")
_NAMES = (
    "reads_per_second",
    "read_bytes_per_second",
    "writes_per_second",
    "write_bytes_per_second",
)
# Columns after the name: reads, merged, sectors, ms, writes, merged, sectors, ms, in flight,
# ms busy (Documentation/admin-guide/iostats.rst).
_READS, _READ_SECTORS, _READ_MS, _WRITES, _WRITE_SECTORS, _WRITE_MS, _BUSY = 0, 2, 3, 4, 6, 7, 9


class DiskioCollector(Collector):
    """``/proc/diskstats``, named with the help of ``/sys/block`` and udev's database."""

    catalogue = CATALOGUE

    def __init__(self, tree: Tree) -> None:
        """Read from ``tree``."""
        self._tree = tree
        self._counters = Counters()
        self._names: dict[tuple[bytes, bytes], str | None] = {}

    def collect(self, now: float) -> list[Point]:
        """Return one point a device."""
        data, at = self._tree.proc("diskstats", now)
        points: list[Point] = []
        seen: list[tuple[bytes, bytes]] = []
        for number, name, stats in _merged(_row(line) for line in data.split(b"\n")):
            if not any(stats):
                continue
            key = (number, name)
            seen.append(key)
            if key not in self._names:
                self._names[key] = self._name(number, name)
            device = self._names[key]
            if device is None:
                continue
            change = self._counters.change(key, at, stats)
            fields = measure(change) if change is not None else {}
            if fields:
                points.append(Point("diskio", {"device": device}, fields))
            if change is None or None in change.deltas:
                del self._names[key]  # new, or another device under an old number
        self._counters.keep(seen)
        return points

    def _name(self, number: bytes, name: bytes) -> str | None:
        """Return the stable name; None for a partition, which has no directory in /sys/block."""
        paths, kernel = self._tree.paths, name.replace(b"/", b"!").decode("utf-8", "replace")
        if not os.path.isdir(f"{paths.sys}/block/{kernel}"):
            return None
        mapped = read_or_none(f"{paths.sys}/block/{kernel}/dm/name")
        if mapped is None and name.startswith(b"md"):
            # The kernel numbers arrays as it meets them; udev knows the name in the superblock.
            udev = read_or_none(f"{paths.run}/udev/data/b{number.decode()}") or b""
            _, _, rest = udev.partition(b"E:MD_DEVNAME=")
            mapped = rest.split(b"\n", 1)[0]
        return tag_value((mapped or name).strip())


def _merged(rows: Iterable[_Row]) -> list[_Row]:
    """Return the rows with those of NVMe's paths under the name of their namespace, once.

    With native multipathing the kernel counts a namespace's traffic at its paths (nvme3c33n1),
    which have no node, and nothing at the namespace (nvme3n1); later kernels count there, too.
    """
    found: dict[bytes, _Row] = {}
    paths: dict[bytes, list[_Row]] = {}
    for row in rows:
        path = _NVME_PATH.fullmatch(row[1])
        if path:
            paths.setdefault(path[1] + path[2], []).append(row)
        elif row[1]:
            found[row[1]] = row
    for name, members in paths.items():
        own = found.get(name)
        if own is None or not any(own[2]):
            sums = tuple(sum(column) for column in zip(*(row[2] for row in members)))
            found[name] = (own[0] if own else members[0][0], name, sums)
    return list(found.values())


def _row(line: bytes) -> _Row:
    """Return major:minor, name and the counters in use; no counters for what is not a device."""
    words = line.split()
    if len(words) < 14 or words[2].startswith(_SKIP):  # noqa: PLR2004 -- since Linux 2.6
        return b"", b"", ()
    values = words[3:13]
    picked = (_READS, _READ_SECTORS, _WRITES, _WRITE_SECTORS, _READ_MS, _WRITE_MS, _BUSY)
    stats = [int(values[index]) for index in picked]
    stats[1] *= _SECTOR
    stats[3] *= _SECTOR
    return words[0] + b":" + words[1], words[2], tuple(stats)


def measure(change: Change) -> dict[str, float]:
    """Return the fields for the change of reads, bytes, writes, bytes, ms, ms, ms busy."""
    fields: dict[str, float] = {}
    put_rates(fields, _NAMES, change)
    reads, _, writes, _, read_ms, write_ms, busy_ms = change.deltas
    if busy_ms is not None:
        # The kernel counts whole ticks, which can exceed the time between two readings.
        fields["busy_percent"] = min(100.0, busy_ms / change.seconds / 10.0)
    if None not in (reads, writes, read_ms, write_ms):
        done = (reads or 0) + (writes or 0)
        if done:
            fields["await_ms"] = ((read_ms or 0) + (write_ms or 0)) / done
    return fields
