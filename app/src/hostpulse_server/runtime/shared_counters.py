"""Counters that several processes keep together, and that outlive each of them.

Every process adds to a file of its own, mapped into its memory: counting is no system call, and
what was counted stays when the process is killed. A process claims the first file that no living
one holds and counts on from what is in it; so the sum over all files never goes backwards, and
there are never more files than there were processes at once.

A file is a table: 128 bytes of key, then 16 numbers, and the first row says that it is one.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CELLS = 16
_NUMBER_BYTES = 8
_KEY_BYTES = 128
_ROW_BYTES = _KEY_BYTES + CELLS * _NUMBER_BYTES
_ROWS = 256
SIZE = _ROWS * _ROW_BYTES
# another number whenever a key or a cell comes to mean something else: old files begin anew
_MAGIC = b"hostpulse tally 1".ljust(_KEY_BYTES, b"\0")
_MOST_PROCESSES = 1024

# what keys begin with
REQUESTS = "requests"  # then endpoint, method, status
SECONDS = "seconds"  # then endpoint; api.figures has the meaning of its cells
SAMPLES = "samples"
REJECTED = "rejected"

Key = tuple[str, ...]
Totals = dict[Key, list[float]]

log = logging.getLogger(__name__)


class CounterRow:
    """The numbers of one key, in the memory that the file shows."""

    __slots__ = ("_cells", "_lock")

    def __init__(self, cells: memoryview[float], lock: threading.Lock) -> None:
        self._cells = cells
        self._lock = lock

    def add(self, amount: float, cell: int = 0) -> None:
        """Add ``amount``, which is not negative."""
        with self._lock:
            self._cells[cell] += amount

    def observe(self, amount: float, bucket: int, total: int) -> None:
        """Count one in cell ``bucket`` and add ``amount`` in cell ``total``."""
        with self._lock:
            self._cells[bucket] += 1
            self._cells[total] += amount


class SharedCounters:
    """The counters of this process. Make it after the last fork; threads may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._is_shared = True
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._memory = _claim(folder)
        except OSError as error:
            log.warning(
                "requests are counted in this process alone, %s cannot be used: %s", folder, error
            )
            self._is_shared = False
            self._memory = mmap.mmap(-1, SIZE)
            self._memory[:_KEY_BYTES] = _MAGIC
        self._numbers = memoryview(self._memory).cast("B").cast("d")
        self._used = {key: at for at, key in _keys(self._memory)}

    def row(self, *key: str) -> CounterRow:
        """Return the row of ``key``, made at zero if it is new.

        Keys have no spaces and come from a small set. Past the table's end a row is not
        counted: a request is not refused because of a counter.
        """
        with self._lock:
            at = self._used.get(key)
            if at is None:
                at = self._add(key)
        if at is None:
            return CounterRow(memoryview(bytearray(CELLS * _NUMBER_BYTES)).cast("d"), self._lock)
        first = (at * _ROW_BYTES + _KEY_BYTES) // _NUMBER_BYTES
        return CounterRow(self._numbers[first : first + CELLS], self._lock)

    def totals(self) -> Totals:
        """Return the sums over all processes; of this one only, where no file can be used."""
        return totals(self._folder) if self._is_shared else _sum([bytes(self._memory)])

    def _add(self, key: Key) -> int | None:
        at = len(self._used) + 1
        text = " ".join(key).encode()
        if at >= _ROWS or len(text) >= _KEY_BYTES:
            return None
        self._memory[at * _ROW_BYTES : at * _ROW_BYTES + len(text)] = text
        self._used[key] = at
        return at


def totals(folder: Path) -> Totals:
    """Return key → numbers, summed over the files in ``folder``; nothing where none is."""
    found = []
    for number in range(_MOST_PROCESSES):
        try:
            found.append((folder / str(number)).read_bytes())
        except OSError:
            break
    return _sum(found)


def _sum(tables: list[bytes]) -> Totals:
    sums: Totals = {}
    for table in tables:
        if len(table) != SIZE or not table.startswith(_MAGIC):
            continue
        for at, key in _keys(table):
            start = at * _ROW_BYTES + _KEY_BYTES
            numbers = memoryview(table)[start : start + CELLS * _NUMBER_BYTES].cast("d")
            before = sums.get(key, [0.0] * CELLS)
            sums[key] = [one + more for one, more in zip(before, numbers, strict=True)]
    return sums


def _keys(table: bytes | mmap.mmap) -> Iterator[tuple[int, Key]]:
    for at in range(1, _ROWS):
        text = table[at * _ROW_BYTES : at * _ROW_BYTES + _KEY_BYTES].rstrip(b"\0")
        if not text:
            return
        yield at, tuple(text.decode(errors="replace").split(" "))


def _claim(folder: Path) -> mmap.mmap:
    """Map the first file that no process holds; raise OSError."""
    for number in range(_MOST_PROCESSES):
        handle = os.open(folder / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _map(handle)  # keeps a copy of the handle, and the lock with it
        except BlockingIOError:
            continue
        finally:
            os.close(handle)
    raise OSError(f"{_MOST_PROCESSES} processes count there already")


def _map(handle: int) -> mmap.mmap:
    head = os.pread(handle, _KEY_BYTES, 0)
    if head != _MAGIC or os.fstat(handle).st_size != SIZE:
        os.ftruncate(handle, 0)
        # a hole would be filled at the first count, and a full disk then kills the process
        os.posix_fallocate(handle, 0, SIZE)
        os.pwrite(handle, _MAGIC, 0)
    return mmap.mmap(handle, SIZE)
