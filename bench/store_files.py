"""The files of an influxd: what they take on disk, until they are compacted, out of the cache."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# a shard that is not written to for so long is compacted as far as it goes; hours by default
COMPACT_SOON = (
    "--storage-cache-snapshot-write-cold-duration=2s",
    "--storage-compact-full-write-cold-duration=2s",
)
QUIET_SECONDS = 10.0
PATIENCE_SECONDS = 900.0


def sizes(directory: Path, pattern: str) -> dict[Path, int]:
    """Return the bytes of all files below a directory whose name matches."""
    found = {}
    for path in directory.rglob(pattern):
        try:
            found[path] = path.stat().st_size
        except FileNotFoundError:  # compacted away meanwhile
            continue
    return found


def settle(directory: Path) -> None:
    """Wait until influxd has nothing left to compact; raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    known: dict[Path, int] = {}
    since = time.monotonic()
    while time.monotonic() - since < QUIET_SECONDS:
        if time.monotonic() > deadline:
            message = f"influxd is not done with {directory} after {PATIENCE_SECONDS:.0f} s"
            raise TimeoutError(message)
        time.sleep(0.5)
        now = sizes(directory, "*.tsm*")
        if now != known or any(sizes(directory, "*.wal").values()):
            known, since = now, time.monotonic()


def forget(directory: Path) -> None:
    """Take a directory's files, which nobody has open, out of the page cache."""
    os.sync()
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
