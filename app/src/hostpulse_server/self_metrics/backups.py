"""Status files of backups: ``<data_dir>/backups/<kind>.json``, written when one ends.

``{"kind": "state", "finished_ms": …, "bytes": …, "verified": true, "error": ""}``
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostpulse_server.errors import BackupStatusError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 65_536
_KIND = re.compile(r"[a-z][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class BackupStatus:
    """One kind's last backup; ``size`` in bytes."""

    kind: str
    finished_ms: int
    size: int
    is_verified: bool

    def fields(self, now_ms: int) -> dict[str, float]:
        """Return the fields of its point."""
        return {
            "age_seconds": max(0, now_ms - self.finished_ms) / 1000,
            "bytes": float(self.size),
            "verified": float(self.is_verified),
        }


def files(folder: Path) -> list[Path]:
    """Return the files to read; none where no backup was ever made."""
    return sorted(folder.glob("*.json"))


def read(path: Path) -> BackupStatus:
    """Read one file; raise BackupStatusError."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(MAX_BYTES))
    except OSError as error:
        raise BackupStatusError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise BackupStatusError(f"{path} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BackupStatusError(f"{path} holds no JSON object")
    kind, verified = document.get("kind"), document.get("verified")
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise BackupStatusError(f"{path}: kind must be a name such as state")
    if kind != path.stem:
        raise BackupStatusError(f"{path}: kind {kind} belongs into {kind}.json")
    if not isinstance(verified, bool):
        raise BackupStatusError(f"{path}: verified must be true or false")
    return BackupStatus(
        kind,
        _whole(path, "finished_ms", document.get("finished_ms")),
        _whole(path, "bytes", document.get("bytes")),
        verified,
    )


def _whole(path: Path, name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise BackupStatusError(f"{path}: {name} must be a whole number, not negative")
    return value
