"""One cheap look at all processes: how many are stuck, and which use the most.

Names are the kernel's ``comm`` only: arguments may hold secrets and are never read.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from hostpulse_agent.collectors.procfs import Tree, read_bytes, tag_value

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Positions behind the closing parenthesis of /proc/PID/stat, see proc_pid_stat(5).
_STATE, _UTIME, _STIME, _START, _RSS = 0, 11, 12, 19, 21
# A scan may use one part in this many of a core, so that 10,000 processes are looked at less
# often rather than at a cost.
_COST = 4000
INTERVAL_S = 30.0


class Usage(NamedTuple):
    """What a process used: ``cpu_percent`` of one core (as ``top``), resident bytes."""

    cpu_percent: float
    rss_bytes: int
    pid: int
    name: str


class ProcessScan:
    """The last scan of ``/proc``, made anew at most every ``interval_s`` seconds."""

    def __init__(self, tree: Tree | None = None, interval_s: float = INTERVAL_S) -> None:
        """Scan nothing yet."""
        self._tree = tree or Tree()
        self._interval_s = interval_s
        self._next = float("-inf")
        self._at: float | None = None
        self._ticks: dict[tuple[int, int], int] = {}
        self._usages: list[Usage] = []
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
                "name": row.name,
                "pid": row.pid,
                "cpu_percent": round(row.cpu_percent, 1),
                "rss_bytes": row.rss_bytes,
            }
            for row in rows
        ]

    def _scan(self, names: list[str]) -> None:
        at = self._tree.clock()
        seconds = None if self._at is None or at <= self._at else at - self._at
        ticks: dict[tuple[int, int], int] = {}
        usages: list[Usage] = []
        states = {b"Z": 0, b"D": 0}
        for name in names:
            if not name.isdigit():
                continue
            try:
                data = read_bytes(f"{self._tree.paths.proc}/{name}/stat")
            except OSError:  # it ended meanwhile
                continue
            end = data.rfind(b")")
            rest = data[end + 2 :].split(None, _RSS + 1)
            if len(rest) <= _RSS:
                continue
            state = rest[_STATE]
            if state in states:
                states[state] += 1
            used = int(rest[_UTIME]) + int(rest[_STIME])
            key = (int(name), int(rest[_START]))
            ticks[key] = used
            before = self._ticks.get(key)
            rss = int(rest[_RSS])
            if not rss and used == before:
                continue
            percent = 0.0
            if seconds is not None and before is not None:
                percent = max(0.0, (used - before) * 100.0 / _TICKS / seconds)
            comm = tag_value(data[data.find(b"(") + 1 : end])
            usages.append(Usage(percent, rss * _PAGE, key[0], comm))
        self._at, self._ticks, self._usages = at, ticks, usages
        self.zombie, self.uninterruptible = states[b"Z"], states[b"D"]
