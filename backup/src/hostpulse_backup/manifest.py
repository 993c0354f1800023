"""The manifest of a backup: where it is from, what it holds, the SHA-256 of every file."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from hostpulse_backup import FORMAT
from hostpulse_backup.errors import DamagedError

if TYPE_CHECKING:
    from pathlib import Path

NAME = "manifest.json"


@dataclass(frozen=True)
class Entry:
    """A file: ``mtime_ns`` of its source, ``link`` where the source was a link to elsewhere."""

    bytes: int
    sha256: str
    mode: int = 0o600
    mtime_ns: int = 0
    link: str = ""


@dataclass
class Manifest:
    """One backup. ``kinds`` holds counts and sample values; ``failed`` the components that are
    missing and why. Times are epoch milliseconds; names of files are relative to the backup.
    """  # noqa: D205 -- two sentences that belong together

    name: str
    host: str
    made_ms: int
    finished_ms: int = 0
    raw: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    folders: dict[str, int] = field(default_factory=dict)
    files: dict[str, Entry] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def bytes(self) -> int:
        """The sum of all files."""
        return sum(entry.bytes for entry in self.files.values())

    def below(self, kind: str) -> dict[str, Entry]:
        """Return the files of one kind."""
        return {name: one for name, one in self.files.items() if name.startswith(f"{kind}/")}


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into the backup's folder, on disk when it returns."""
    handle = os.open(folder / NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(asdict(manifest), file, indent=1, sort_keys=True)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def read(folder: Path) -> Manifest:
    """Read a backup's manifest; raises DamagedError."""
    try:
        return parse((folder / NAME).read_text(encoding="utf-8"))
    except OSError as error:
        raise DamagedError(f"{folder / NAME}: {error.strerror}; take another backup") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedError(f"{folder / NAME} is damaged ({error}); take another backup") from None


def parse(text: str) -> Manifest:
    """Make a manifest of its text; raises ValueError, TypeError, KeyError or AttributeError."""
    document = json.loads(text)
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']} is of another release of this program")
    document["files"] = {name: Entry(**entry) for name, entry in document["files"].items()}
    return Manifest(**document)
