"""Verifies that a backup is still what was written, byte by byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_backup import files, manifest
from hostpulse_backup.archive import RESTORE_TEST
from hostpulse_backup.errors import DamagedError

if TYPE_CHECKING:
    from pathlib import Path

    from hostpulse_backup.manifest import Manifest

MAX_REPORTED = 5
_UNLISTED = (manifest.NAME, RESTORE_TEST)


def verify(folder: Path) -> Manifest:
    """Read every file of a backup; raise DamagedError that names what differs."""
    made = manifest.read(folder)
    there = {str(path) for path in files.regular(folder)} - set(_UNLISTED)
    problems = [f"{name} is missing" for name in sorted(set(made.files) - there)]
    problems += [f"{name} is not in the manifest" for name in sorted(there - set(made.files))]
    for name in sorted(there & set(made.files)):
        if (folder / name).stat().st_size != made.files[name].bytes:
            problems.append(f"{name} has another size")
        elif files.sha256(folder / name) != made.files[name].sha256:
            problems.append(f"{name} has another SHA-256")
    raise_if_damaged(folder.name, problems)
    return made


def raise_if_damaged(name: str, problems: list[str]) -> None:
    """Raise DamagedError if there are problems, naming the first few."""
    if problems:
        more = f", and {len(problems) - MAX_REPORTED} more" if len(problems) > MAX_REPORTED else ""
        raise DamagedError(
            f"{name} is damaged: {', '.join(problems[:MAX_REPORTED])}{more}; use another backup"
        )
