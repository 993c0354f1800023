"""The wheels of other people: a cache of verified files, filled by pip when one is missing."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name, parse_wheel_filename

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tools.payload.pins import Pin, Target


class PayloadError(Exception):
    """A payload could not be built; the message says what to do."""


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Wheelhouse:
    """A directory of wheels; what it hands out has one of the hashes the pin names."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory

    def collect(self, pins: Iterable[Pin], targets: Iterable[Target]) -> dict[Pin, set[Path]]:
        """Return the wheels that the targets need, by pin; asks the index only for missing ones.

        Raises ``PayloadError`` when a wheel is neither cached nor to be had.
        """
        found: dict[Pin, set[Path]] = {}
        pins = list(pins)
        for target in targets:
            needed = [pin for pin in pins if target.wants(pin)]
            missing = [pin for pin in needed if self._find(pin, target) is None]
            if missing:
                self._download(missing, target)
            for pin in needed:
                wheel = self._find(pin, target)
                if wheel is None:
                    message = f"{pin.line}: the downloaded wheel does not fit {target}"
                    raise PayloadError(message)
                found.setdefault(pin, set()).add(wheel)
        return found

    def _find(self, pin: Pin, target: Target) -> Path | None:
        """Return the cached wheel that fits best and has a pinned hash."""
        ranks = {tag: rank for rank, tag in enumerate(target.tags())}
        best: tuple[int, str, Path] | None = None
        for path in self._directory.glob("*.whl"):
            name, version, _, tags = parse_wheel_filename(path.name)
            if name != canonicalize_name(pin.name) or str(version) != pin.version:
                continue
            rank = min((ranks[tag] for tag in tags if tag in ranks), default=None)
            if rank is None or (best and best < (rank, path.name, path)):
                continue
            if sha256(path) in pin.hashes:
                best = (rank, path.name, path)
        return best[2] if best else None

    def _download(self, pins: list[Pin], target: Target) -> None:
        """Let pip fetch wheels for the target and verify them against the pins."""
        with tempfile.TemporaryDirectory(dir=self._directory) as scratch:
            wanted = Path(scratch, "requirements.txt")
            wanted.write_text(
                "".join(
                    f"{pin.name}=={pin.version}"
                    + "".join(f" --hash=sha256:{digest}" for digest in sorted(pin.hashes))
                    + "\n"
                    for pin in pins
                ),
                encoding="utf-8",
            )
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command += ["--disable-pip-version-check", "--only-binary=:all:", "--require-hashes"]
            command += ["--implementation", "cp", "--python-version", target.python]
            command += [part for name in target.platforms for part in ("--platform", name)]
            command += ["--dest", scratch, "--requirement", str(wanted)]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode:
                names = ", ".join(pin.line for pin in pins)
                message = (
                    f"cannot fetch {names} for CPython {target.python} on {target.machine}: "
                    f"{result.stderr.strip()[-600:]}\nRun once with a network (or PIP_INDEX_URL "
                    f"set to your mirror); wheels stay in {self._directory} afterwards."
                )
                raise PayloadError(message)
            for path in Path(scratch).glob("*.whl"):
                path.replace(self._directory / path.name)
