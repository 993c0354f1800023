"""The folder of backups: names, the lock, which are complete, which are pruned."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from hostpulse_backup import files, manifest
from hostpulse_backup.errors import BusyError, DamagedError, RefusedError
from hostpulse_backup.pruning import BackupInfo, names_to_keep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hostpulse_backup.manifest import Manifest
    from hostpulse_backup.settings import Keep

NAME = re.compile(r"\d{8}T\d{6}Z")
RESTORE_TEST = "drill.json"
_STAMP = "%Y%m%dT%H%M%SZ"


class Archive:
    """The backups of one host in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder's lock and remove what a killed run left; raises BusyError."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(handle, 20).decode().strip() or "unknown"
                raise BusyError(
                    f"another run (process {holder}) works in {self.directory}; wait for its end: "
                    "systemctl status hostpulse-backup"
                ) from None
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            for left in self.directory.glob(".new-*"):
                shutil.rmtree(left)
            yield
        finally:
            os.close(handle)

    def begin(self, now_ms: int) -> tuple[str, Path]:
        """Return the name of a backup made now and a hidden folder to make it in.

        Names ascend, also where two are made in one second or the clock was put back.
        """
        at = datetime.fromtimestamp(now_ms / 1000, timezone.utc)
        for newest in self.names()[-1:]:
            at = max(at, _time_of(newest) + timedelta(seconds=1))
        name = at.strftime(_STAMP)
        folder = self.directory / f".new-{name}"
        folder.mkdir(mode=0o700)
        return name, folder

    def finish(self, folder: Path, made: Manifest) -> None:
        """Give a complete backup its name, which makes it visible."""
        manifest.write(folder, made)
        for inside in [folder, *(one for one in folder.rglob("*") if one.is_dir())]:
            files.sync_folder(inside)
        folder.rename(self.directory / made.name)
        files.sync_folder(self.directory)

    def names(self) -> list[str]:
        """Return the names of the backups, oldest first."""
        if not self.directory.is_dir():
            return []
        return sorted(path.name for path in self.directory.iterdir() if NAME.fullmatch(path.name))

    def find(self, name: str) -> Path:
        """Return the folder of a backup, ``latest`` being the newest complete one."""
        if name == "latest":
            found = self.newest_good()
            if found is None:
                raise RefusedError(f"{self.directory} has no whole backup")
            return self.directory / found.name
        if name not in self.names():
            raise RefusedError(
                f"{self.directory} has no backup {name}; it has {', '.join(self.names()) or 'none'}"
            )
        return self.directory / name

    def newest_good(self) -> Manifest | None:
        """Return the newest complete backup whose restore test did not fail."""
        for name in reversed(self.names()):
            try:
                found = manifest.read(self.directory / name)
            except DamagedError:
                continue
            if self._is_good(name, found):
                return found
        return None

    def restore_test(self, name: str) -> dict[str, Any]:
        """Return the result of a backup's last restore test; empty before the first."""
        try:
            text = (self.directory / name / RESTORE_TEST).read_text(encoding="utf-8")
            return dict(json.loads(text))
        except (OSError, ValueError):
            return {}

    def record_restore_test(self, name: str, at_ms: int, error: str) -> None:
        """Record the result of a restore test beside the manifest, which is never changed."""
        path = self.directory / name / RESTORE_TEST
        fresh = path.with_name(f".{RESTORE_TEST}")
        fresh.write_text(json.dumps({"passed": not error, "at_ms": at_ms, "error": error}) + "\n")
        fresh.chmod(0o600)
        fresh.replace(path)

    def prune(self, keep: Keep) -> list[str]:
        """Delete what the policy no longer keeps; return the names that went."""
        stay = names_to_keep([self._info(name) for name in self.names()], keep)
        gone = [name for name in self.names() if name not in stay]
        for name in gone:
            hidden = self.directory / f".new-{name}"  # half deleted, it is no backup any more
            (self.directory / name).rename(hidden)
            shutil.rmtree(hidden)
        return gone

    def _info(self, name: str) -> BackupInfo:
        at = _time_of(name)
        try:
            found = manifest.read(self.directory / name)
        except DamagedError:
            return BackupInfo(name, at, good=False, raw=False)
        return BackupInfo(name, at, good=self._is_good(name, found), raw=found.raw)

    def _is_good(self, name: str, made: Manifest) -> bool:
        return not made.failed and self.restore_test(name).get("passed") is not False


def _time_of(name: str) -> datetime:
    return datetime.strptime(name, _STAMP).replace(tzinfo=timezone.utc)
