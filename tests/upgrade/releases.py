"""Earlier releases, whose wire, spool and databases are followed, built from their commits."""

from __future__ import annotations

import fcntl
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.e2e.services import environment
from tests.policy.repository import ROOT
from tools.payload.build import CACHE, find_uv

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Release:
    """A release of the changelog, and the commit that it was built from."""

    version: str
    commit: str


# Append a release once its commit is on main.
RELEASES: Final = (Release("0.1.0", "eb9e26505cf46c1f41e3472240942dded72a135a"),)


@dataclass(frozen=True)
class Programs:
    """The commands of one agent and one server that belong together."""

    agent: Path
    server: Path


PRESENT: Final = Programs(
    Path(sys.executable).with_name("hostpulse-agent"),
    Path(sys.executable).with_name("hostpulse-server"),
)


class BuildError(Exception):
    """A release cannot be built from its commit."""


def install(release: Release) -> Programs:
    """Build a release's payload as it built it itself, and install it; done once a machine.

    Raises BuildError with what to do.
    """
    key = hashlib.sha256(f"{release.commit} {sys.base_prefix} {sys.version}".encode()).hexdigest()
    home = CACHE / "releases" / f"{release.version}-{key[:12]}"
    home.mkdir(parents=True, exist_ok=True)
    complete = home / ".complete"
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # every worker of a test run comes here at once
        if not complete.exists():
            _build(release, home)
            complete.touch()
    return Programs(
        home / "agent" / "bin" / "hostpulse-agent", home / "server" / "bin" / "hostpulse-server"
    )


def unpack(release: Release, into: Path, repository: Path = ROOT) -> None:
    """Write the files of a release's commit; raises BuildError where the commit is missing."""
    command = ["git", "archive", "--format=tar", release.commit]
    done = subprocess.run(command, cwd=repository, capture_output=True, check=False)
    if done.returncode:
        raise BuildError(
            f"git cannot read {release.commit}, the commit of release {release.version}: "
            f"{done.stderr.decode().strip()}; if this is a shallow clone, run: "
            "git fetch --unshallow"
        )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(into, filter="data")


def _build(release: Release, home: Path) -> None:
    source, payload = home / "source", home / "payload"
    for left_over in (source, payload):
        shutil.rmtree(left_over, ignore_errors=True)
    unpack(release, source)
    _run([sys.executable, "-m", "tools.payload", "--output", str(payload)], source)
    for product in ("agent", "server"):
        place, carried = home / product, payload / product
        _run([find_uv(), "venv", "--clear", "--python", sys.executable, str(place)], home)
        _run(
            [
                *(find_uv(), "pip", "install", "--python", str(place / "bin" / "python")),
                *("--no-index", "--find-links", str(carried / "wheels"), "--require-hashes"),
                *("--compile-bytecode", "--requirement", str(carried / "requirements.txt")),
            ],
            home,
        )
    for done_with in (source, payload):
        shutil.rmtree(done_with)


def _run(command: Sequence[str], cwd: Path) -> None:
    done = subprocess.run(
        command, cwd=cwd, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BuildError(f"{' '.join(command)} failed: {(done.stderr or done.stdout)[-2000:]}")
