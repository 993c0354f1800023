"""What a process costs, read from /proc: resident memory, its proportional share, CPU time."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

MIB = 1024.0
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """Return the process ids of a process's children and of theirs."""
    found: list[int] = []
    for task in Path("/proc", str(pid), "task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *children(child)]
    return found


def cpu_ns(pid: int) -> int:
    """Return the nanoseconds that a process, its threads and its children were on a CPU.

    Living tasks by schedstat, which counts nanoseconds; children that ended are only kept in
    clock ticks, so they are added from there.
    """
    total = 0
    for process in [pid, *children(pid)]:
        for task in Path("/proc", str(process), "task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    ended = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[13:15]
    return total + sum(map(int, ended)) * TICK_NS


@dataclass(frozen=True)
class Memory:
    """Mebibytes: resident in the main process, and the fair share of it and its children."""

    main_rss: float
    helper_rss: float
    total_pss: float


def memory(pid: int) -> Memory:
    """Return what a process and its children occupy now."""

    def kib(process: int, key: str) -> int:
        text = Path("/proc", str(process), "smaps_rollup").read_text()
        match = re.search(rf"^{key}: +(\d+) kB", text, re.MULTILINE)
        return int(match.group(1)) if match else 0

    family = children(pid)
    return Memory(
        main_rss=kib(pid, "Rss") / MIB,
        helper_rss=sum(kib(child, "Rss") for child in family) / MIB,
        total_pss=sum(kib(process, "Pss") for process in [pid, *family]) / MIB,
    )
