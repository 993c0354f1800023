"""Cheap scan of all processes: number of stuck ones, and the top users of CPU and memory.

Names are the kernel's ``comm`` only: arguments may hold secrets and are never read.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from hostpulse_agent.collectors.procfs import Tree, read_start, tag_value

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Positions behind the closing parenthesis of /proc/PID/stat, see proc_pid_stat(5).
_STATE, _UTIME, _STIME, _START, _RSS = 0, 11, 12, 19, 21
# Enough for every column up to the resident set.
_LONGEST = 1024
# A scan may use 1/_COST of a core: with 10,000 processes scans are less frequent, not costlier.
_COST = 4000
INTERVAL_S = 30.0


class ProcessUsage(NamedTuple):
    """Usage of a process since the last scan: percent of one core, resident bytes."""

    cpu_percent: float
    rss_bytes: int
    pid: int
    comm: bytes


class ProcessScan:
    """The last scan of ``/proc``, made anew at most every ``interval_s`` seconds."""

    def __init__(self, tree: Tree | None = None, interval_s: float = INTERVAL_S) -> None:
        """Scan nothing yet."""
        self._tree = tree or Tree()
        self._interval_s = interval_s
        self._next = float("-inf")
        self._at: float | None = None
        self._before: dict[tuple[int, bytes], int] = {}
        self._usages: list[ProcessUsage] = []
        self.zombie = 0
        self.uninterruptible = 0

    def refresh(self, now: float) -> None:
        """Scan if it is time (``now``: monotonic seconds). Raises ``OSError``."""
        if now < self._next:
            return
        began = time.thread_time()
        self._scan(os.listdir(self._tree.paths.proc))
        self._next = now + max(self._interval_s, (time.thread_time() - began) * _COST)

    def top(self, count: int) -> list[dict[str, object]]:
        """Return the ``count`` greatest users of CPU, then memory, as the wire wants them."""
        rows = sorted(self._usages, reverse=True)[:count]
        return [
            {
                "name": tag_value(row.comm),
                "pid": row.pid,
                "cpu_percent": round(row.cpu_percent, 1),
                "rss_bytes": row.rss_bytes,
            }
            for row in rows
        ]

    def _scan(self, names: list[str]) -> None:
        at = self._tree.clock()
        before, self._before = self._before, {}
        seconds = 0.0 if self._at is None else at - self._at
        self._at, self._usages = at, []
        states = {b"Z": 0, b"D": 0}
        for name in names:
            if not name.isdigit():
                continue
            try:
                data = read_start(f"{self._tree.paths.proc}/{name}/stat", _LONGEST)
            except OSError:  # it ended meanwhile
                continue
            end = data.rfind(b")")
            rest = data[end + 2 :].split(None, _RSS + 1)
            if len(rest) <= _RSS:
                continue
            if rest[_STATE] in states:
                states[rest[_STATE]] += 1
            rss = int(rest[_RSS]) * _PAGE
            if not rss:  # a kernel thread or a zombie
                continue
            pid = int(name)
            ticks = int(rest[_UTIME]) + int(rest[_STIME])
            key = (pid, rest[_START])
            self._before[key] = ticks
            spent = max(0, ticks - before.get(key, ticks))
            percent = spent * 100.0 / _TICKS / seconds if seconds > 0 else 0.0
            self._usages.append(ProcessUsage(percent, rss, pid, data[data.find(b"(") + 1 : end]))
        self.zombie, self.uninterruptible = states[b"Z"], states[b"D"]
