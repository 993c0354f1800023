"""A snapshot of InfluxDB's files, taken while influxd is stopped for a moment.

While influxd is stopped its immutable files are linked and the others, which are small, copied:
that takes as long for a month of data as for a day. Then influxd runs again, and the backup
is copied from the snapshot.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hostpulse_backup import files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

STAGING = ".hostpulse-backup"
TOP = ("influxd.bolt", "influxd.sqlite", "influxd.sqlite-wal", "influxd.sqlite-shm")
# Written once, then only deleted: sorted data and compacted indexes.
IMMUTABLE = (".tsm", ".tsi")
_SHARDS = ("data", "wal")


class SnapshotFile(NamedTuple):
    """One file of InfluxDB, relative to its data folder."""

    path: Path
    immutable: bool
    allocated: int


def influxdb_files(data_dir: Path, excluded_buckets: Collection[str]) -> Iterator[SnapshotFile]:
    """Yield InfluxDB's files, leaving out the buckets whose ids are in ``without``."""
    skipped = {("engine", part, bucket) for part in _SHARDS for bucket in excluded_buckets}
    for name in TOP:
        if (data_dir / name).is_file():
            yield SnapshotFile(
                Path(name), immutable=False, allocated=files.allocated(data_dir / name)
            )
    for below in files.regular(data_dir / "engine"):
        path = Path("engine") / below
        if path.parts[:3] not in skipped:
            try:
                size = files.allocated(data_dir / path)
            except FileNotFoundError:  # compacted away just now
                continue
            yield SnapshotFile(path, path.suffix in IMMUTABLE, size)


def take(data_dir: Path, excluded_buckets: Collection[str]) -> Path:
    """Link and copy InfluxDB's files into a folder on the same disk; influxd must be stopped."""
    stage = data_dir / STAGING
    stage.mkdir(mode=0o700)
    for file in influxdb_files(data_dir, excluded_buckets):
        target = stage / file.path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (file.immutable and _linked(data_dir / file.path, target)):
            files.copy(data_dir / file.path, target, durable=False)
    return stage


def clear(data_dir: Path) -> None:
    """Remove the snapshot of this run or of one that was killed."""
    shutil.rmtree(data_dir / STAGING, ignore_errors=True)


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # a file system without links: copied like the rest
        return False
    return True
