"""Status files, one a kind, from which the server makes its measurement `backup`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from hostpulse_backup.errors import RefusedError

if TYPE_CHECKING:
    from pathlib import Path


class StatusFiles:
    """The status files in ``directory``; without one, nothing is written."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def record_success(self, kind: str, finished_ms: int, size: int) -> None:
        """Record a backup; it counts as verified once a restore test passed."""
        self._write(kind, finished_ms=finished_ms, bytes=size, verified=False, error="")

    def record_failure(self, kind: str, error: str) -> None:
        """Record why there is none; the age stays that of the last one."""
        self._write(kind, error=error)

    def record_restore_test(self, kind: str, error: str) -> None:
        """Record the result of the newest backup's restore test."""
        self._write(kind, verified=not error, error=error)

    def _write(self, kind: str, **news: Any) -> None:
        if self._directory is None:
            return
        folder = self._open()
        try:
            document = {"kind": kind, "finished_ms": 0, "bytes": 0, "verified": False, "error": ""}
            document.update(_read(f"{kind}.json", folder))
            document.update(news)
            fresh = os.open(
                f".{kind}.json",
                os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW,
                dir_fd=folder,
            )
            with os.fdopen(fresh, "w", encoding="utf-8") as file:
                os.fchmod(file.fileno(), 0o644)
                json.dump(document, file, sort_keys=True)
                file.write("\n")
            os.replace(f".{kind}.json", f"{kind}.json", src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            os.close(folder)

    def _open(self) -> int:
        """Open the folder, which lies in one that another user may write to, as ours only."""
        if self._directory is None:
            raise AssertionError
        self._directory.mkdir(mode=0o755, exist_ok=True)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        try:
            folder = os.open(self._directory, flags)
        except OSError as error:
            raise RefusedError(f"{self._directory}: {error.strerror}") from None
        if os.fstat(folder).st_uid != os.geteuid():
            os.close(folder)
            raise RefusedError(
                f"{self._directory} belongs to another user; remove it, it is made anew"
            )
        os.fchmod(folder, 0o755)  # the server reads what root writes, whatever the umask
        return folder


def _read(name: str, folder: int) -> dict[str, Any]:
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
        with os.fdopen(handle, encoding="utf-8") as file:
            return dict(json.load(file))
    except (OSError, ValueError):
        return {}
