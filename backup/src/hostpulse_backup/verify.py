"""Whether a backup is still what was written, byte by byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_backup import files, manifest
from hostpulse_backup.archive import TRIAL
from hostpulse_backup.errors import DamagedError

if TYPE_CHECKING:
    from pathlib import Path

    from hostpulse_backup.manifest import Manifest

SHOWN = 5
_BESIDE = (manifest.NAME, TRIAL)


def verify(folder: Path) -> Manifest:
    """Read every file of a backup; raise DamagedError that names what is not as it was."""
    made = manifest.read(folder)
    there = {str(path) for path in files.regular(folder)} - set(_BESIDE)
    faults = [f"{name} is missing" for name in sorted(set(made.files) - there)]
    faults += [f"{name} is not in the manifest" for name in sorted(there - set(made.files))]
    for name in sorted(there & set(made.files)):
        if (folder / name).stat().st_size != made.files[name].bytes:
            faults.append(f"{name} has another size")
        elif files.sha256(folder / name) != made.files[name].sha256:
            faults.append(f"{name} has another SHA-256")
    refuse(folder.name, faults)
    return made


def refuse(name: str, faults: list[str]) -> None:
    """Raise DamagedError if there are faults, naming the first few."""
    if faults:
        more = f", and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise DamagedError(
            f"{name} is damaged: {', '.join(faults[:SHOWN])}{more}; use another backup"
        )
