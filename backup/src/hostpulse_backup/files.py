"""Files: sparse copies with their SHA-256 in one pass, hashes, sizes, disk space."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hostpulse_backup.errors import DiskSpaceError

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 64 * 1024
_ZEROS = bytes(BLOCK)
_BLOCK_OF_STAT = 512  # what st_blocks counts in, whatever the file system


class Copied(NamedTuple):
    """Size in bytes and SHA-256 in hex of what was copied."""

    bytes: int
    sha256: str


def copy(source: Path, target: Path, *, durable: bool = True) -> Copied:
    """Copy a file to a new one, 0600; zeros become holes; ``durable``: on disk when it returns.

    InfluxDB's series files are mostly holes: written out they would take a hundred times the space.
    """
    digest = hashlib.sha256()
    size = 0
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with source.open("rb") as reader, os.fdopen(handle, "wb") as writer:
        while True:
            block = reader.read(BLOCK)
            if not block:
                break
            digest.update(block)
            size += len(block)
            if block == _ZEROS[: len(block)]:
                writer.seek(len(block), os.SEEK_CUR)
            else:
                writer.write(block)
        writer.truncate(size)
        writer.flush()
        if durable:
            os.fsync(writer.fileno())
    times = source.stat()
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
    return Copied(size, digest.hexdigest())


def copy_tree(source: Path, target: Path, *, durable: bool = True) -> None:
    """Copy the regular files below a folder as ``copy`` does, into folders made 0700."""
    for below in regular(source):
        (target / below).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy(source / below, target / below, durable=durable)


def chown_tree(place: Path, user: str) -> None:
    """Make a folder and all in it belong to a user."""
    for below in [place, *place.rglob("*")]:
        shutil.chown(below, user, user)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as reader:
        for block in iter(lambda: reader.read(16 * BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def regular(root: Path) -> Iterator[Path]:
    """Yield the regular files below a folder, sorted, relative to it; links are not followed."""
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(root)


def allocated(path: Path) -> int:
    """Return the bytes that a file takes on disk, without its holes."""
    return path.stat().st_blocks * _BLOCK_OF_STAT


def size(path: Path) -> int:
    """Return the bytes that a file, or all files below a folder, take on disk."""
    if path.is_file():
        return allocated(path)
    return sum(allocated(path / below) for below in regular(path))


def require_space(directory: Path, wanted: int, floor: int, what: str) -> None:
    """Return if ``wanted`` bytes fit and ``floor`` stays free; raise DiskSpaceError otherwise.

    A directory that is not there yet will be on the disk of the nearest one that is.
    """
    while not directory.exists():
        directory = directory.parent
    free = shutil.disk_usage(directory).free
    if free - wanted < floor:
        raise DiskSpaceError(
            f"{what} needs about {human(wanted)} in {directory} and shall leave {human(floor)} "
            f"free, but only {human(free)} is free: nothing was begun. Free some room, keep fewer "
            "backups (hostpulse_backup_keep_daily, _weekly, _monthly), or move "
            "hostpulse_backup_directory to a larger disk"
        )


def sync_folder(path: Path) -> None:
    """Bring a folder's own entries to disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def human(size: int) -> str:
    """Format a number of bytes."""
    value = float(size)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:  # noqa: PLR2004 -- as the units say
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
