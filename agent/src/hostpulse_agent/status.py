"""The status file: the running agent's last results, read by `hostpulse-agent status`."""

from __future__ import annotations

import json
import os
from typing import Any

_SIZE = 4096


class StatusFile:
    """Rewritten in place every sample: one small write, no rename that would force a flush."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None

    def write(self, status: dict[str, Any]) -> None:
        """Replace the content; errors are ignored, because the spool reports a failing disk."""
        text = json.dumps(status).encode().ljust(_SIZE - 1) + b"\n"
        try:
            if self._descriptor is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags, 0o640)
            os.pwrite(self._descriptor, text, 0)
        except OSError:
            self.close()

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def path_beside(spool_path: str) -> str:
    """Path of the status file that belongs to a spool."""
    return os.path.join(os.path.dirname(os.path.abspath(spool_path)), "status.json")


def read(path: str) -> dict[str, Any]:
    """Return the last status, empty when there is none."""
    try:
        with open(path, "rb") as file:
            return dict(json.loads(file.read(2 * _SIZE)))
    except (OSError, ValueError, TypeError):
        return {}
