"""Export a backup as one compressed tar file (a bundle), and import it on another machine."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from hostpulse_backup import files, manifest
from hostpulse_backup.archive import NAME
from hostpulse_backup.errors import DamagedError, RefusedError
from hostpulse_backup.verify import verify

if TYPE_CHECKING:
    from hostpulse_backup.manifest import Manifest

FASTEST = 1  # most of it is compressed already; holes go anyway


def pack(folder: Path, target: Path) -> None:
    """Export a backup to a bundle, 0600 unless the file exists already."""
    made = verify(folder)
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with (
        os.fdopen(handle, "wb") as file,
        tarfile.open(fileobj=file, mode="w:gz", compresslevel=FASTEST) as packed,
    ):
        for name in (manifest.NAME, *sorted(made.files)):
            packed.add(folder / name, f"{folder.name}/{name}", recursive=False)


def unpack(source: Path, directory: Path) -> Manifest:
    """Import a bundle into the folder of backups and verify it; harmless if it is there already.

    Raises DamagedError for anything but plain files below one folder that is named like a backup.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=".new-unpack-", dir=directory))
    try:
        name = _unpack(source, place)
        made = verify(place / name)
        if made.name != name:
            raise DamagedError(f"{source}: its folder is {name}, its manifest says {made.name}")
        if (directory / name).exists():
            if manifest.read(directory / name) != made:
                raise RefusedError(f"{directory} has another backup {name}; move it away first")
        else:
            (place / name).rename(directory / name)
            files.sync_folder(directory)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DamagedError(f"{source} cannot be unpacked: {error}; fetch it again") from None
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return made


def check(source: Path) -> Manifest:
    """Verify a bundle against its own manifest, unpacked beside it."""
    with tempfile.TemporaryDirectory(prefix=".hostpulse-", dir=source.parent) as place:
        return unpack(source, Path(place))


def _unpack(source: Path, place: Path) -> str:
    found = set()
    with tarfile.open(source, mode="r:gz") as packed:
        for member in packed:
            path = PurePosixPath(member.name)
            if not member.isreg() or ".." in path.parts or not NAME.fullmatch(path.parts[0]):
                raise DamagedError(f"{source} holds {member.name}, which no backup has")
            target = place / path
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            inside = packed.extractfile(member)
            if inside is None:
                raise DamagedError(f"{source} holds no content for {member.name}")
            with inside, target.open("xb") as file:
                os.fchmod(file.fileno(), 0o600)
                shutil.copyfileobj(inside, file)
            found.add(path.parts[0])
    if len(found) != 1:
        raise DamagedError(f"{source} holds {len(found)} backups instead of one")
    return found.pop()
