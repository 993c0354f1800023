"""Stops and starts systemd units, and never leaves one stopped."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Protocol

from hostpulse_backup.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Service(Protocol):
    """Something that can be stopped for a moment."""

    def stop(self) -> None:
        """Stop it and return when it has ended."""

    def start(self) -> None:
        """Start it again."""


class Unit:
    """A systemd unit.

    The marker file says that we stopped it: where this program is killed in between, the unit's
    ExecStopPost (``resume``) and the next run see it and start the service.
    """

    def __init__(self, name: str, marker: Path) -> None:
        self.name = name
        self._marker = marker

    def stop(self) -> None:
        """Stop the unit; raises ServiceError."""
        self._marker.write_text(f"{self.name}\n", encoding="utf-8")
        systemctl("stop", self.name)

    def start(self) -> None:
        """Start the unit; raises ServiceError."""
        systemctl("start", self.name)
        self._marker.unlink(missing_ok=True)

    def resume(self) -> bool:
        """Start the unit if a killed run left it stopped; return whether that was so."""
        if not self._marker.exists():
            return False
        self.start()
        return True


def active(units: Iterable[str]) -> list[str]:
    """Return those of the units that run."""
    return [unit for unit in units if _run("is-active", "--quiet", unit).returncode == 0]


def systemctl(verb: str, unit: str) -> None:
    """Run systemctl; raises ServiceError with what it said."""
    done = _run(verb, unit)
    if done.returncode != 0:
        raise ServiceError(
            f"systemctl {verb} {unit} failed: {done.stdout.strip()}; see journalctl -u {unit} -n 50"
        )


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemctl", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
