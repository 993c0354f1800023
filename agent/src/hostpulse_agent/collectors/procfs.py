"""Reading of ``/proc`` and ``/sys``: few system calls, each file read once per tick.

All roots come from ``Paths`` so that a recorded tree can stand in for the machine.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_CHUNK = 65536
_TAG_CHARACTERS = 255


class Paths(NamedTuple):
    """Roots of the kernel's and udev's trees."""

    proc: str = "/proc"
    sys: str = "/sys"
    run: str = "/run"
    etc: str = "/etc"


class FileReading(NamedTuple):
    """Bytes of a file and the monotonic time (seconds) at which they were read."""

    data: bytes
    at: float


def read_bytes(path: str) -> bytes:
    """Return the whole file. Raises ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = chunk = os.read(descriptor, _CHUNK)
        # A seq_file hands out a page at a time, so only an empty read is the end.
        while chunk:
            chunk = os.read(descriptor, _CHUNK)
            data += chunk
    finally:
        os.close(descriptor)
    return data


def read_start(path: str, size: int) -> bytes:
    """Return what one read of at most ``size`` bytes gives. Raises ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)


def read_or_none(path: str) -> bytes | None:
    """Return the whole file, or None where it is missing or the kernel refuses it."""
    try:
        return read_bytes(path)
    except OSError:
        return None


def read_int(path: str) -> int | None:
    """Return the integer a file holds, or None where there is none."""
    data = read_or_none(path)
    try:
        return None if data is None else int(data)
    except ValueError:
        return None


def tag_value(raw: bytes) -> str:
    """Make any kernel name a valid tag value: printable, no backslash last or before a space."""
    text = raw.decode("utf-8", "replace")[:_TAG_CHARACTERS]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else "?" for c in text)
    if text.endswith("\\"):
        text = text[:-1] + "?"
    return text.replace("\\ ", "? ") or "?"


class Tree:
    """The kernel's files, each read once a tick: collectors of one tick share a reading.

    ``tick`` is the ``now`` that the collectors were called with; a reading carries the time it
    was really made, because a slow collector before this one must not bend the rates.
    """

    def __init__(
        self, paths: Paths | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read below ``paths``; ``clock`` gives monotonic seconds."""
        self.paths = paths or Paths()
        self.clock = clock
        self._tick: float | None = None
        self._shared: dict[str, FileReading] = {}

    def proc(self, name: str, tick: float) -> FileReading:
        """Return ``/proc/<name>`` as of this tick. Raises ``OSError``."""
        if tick != self._tick:
            self._shared.clear()
            self._tick = tick
        reading = self._shared.get(name)
        if reading is None:
            reading = FileReading(read_bytes(f"{self.paths.proc}/{name}"), self.clock())
            self._shared[name] = reading
        return reading


def meminfo(data: bytes) -> dict[bytes, int]:
    """Parse ``/proc/meminfo`` into name -> number as written (kB, or pages of HugePages_*)."""
    table: dict[bytes, int] = {}
    for line in data.split(b"\n"):
        name, colon, rest = line.partition(b":")
        if colon:
            table[name] = int(rest.split(None, 1)[0])
    return table


def columns(data: bytes, protocol: bytes, wanted: Iterable[bytes]) -> dict[bytes, int]:
    """Return the wanted numbers of a protocol in the form of /proc/net/snmp and netstat.

    There a line ``protocol: names`` is followed by a line ``protocol: numbers``. What the kernel
    does not have is left out.
    """
    start = b"\n" + protocol + b": "
    _, _, rest = (b"\n" + data).partition(start)
    names, _, rest = rest.partition(start)
    positions = names.split()
    numbers = rest.partition(b"\n")[0].split()
    return {
        name: int(numbers[positions.index(name)])
        for name in wanted
        if name in positions and len(numbers) == len(positions)
    }


def counter(data: bytes, name: bytes) -> int | None:
    """Return the number behind ``name`` at the start of a line, as in /proc/vmstat; or None."""
    start = 0 if data.startswith(name + b" ") else data.find(b"\n" + name + b" ") + 1
    if not start and not data.startswith(name + b" "):
        return None
    end = data.find(b"\n", start)
    text = data[start + len(name) : end if end >= 0 else len(data)]
    return int(text.split(None, 1)[0])
