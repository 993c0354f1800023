"""SQLite databases: online copies, row counts, integrity checks."""

from __future__ import annotations

import os
import sqlite3
import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hostpulse_backup.errors import DamagedError

if TYPE_CHECKING:
    from pathlib import Path

BUSY_SECONDS = 30.0
SAMPLES = 5

_SAMPLE_QUERY = """
SELECT s.server_id, s.measurement, s.tags, s.field, v.at, v.{value}
FROM {table} AS v JOIN series AS s ON s.id = v.series
WHERE v.bucket = (SELECT {end}(bucket) FROM {table}) AND v.series >= ?
ORDER BY v.series, v.at LIMIT 1
"""
_VALUE_QUERY = """
SELECT v.{value} FROM {table} AS v JOIN series AS s ON s.id = v.series
WHERE s.server_id = ? AND s.measurement = ? AND s.tags = ? AND s.field = ? AND v.at = ?
"""
_TABLES = {"raw": "value", "rollup": "mean"}


def copy(source: Path, target: Path) -> None:
    """Copy a database as it is at one moment; raises DamagedError.

    One step of the backup interface is one read transaction: who writes meanwhile is neither held
    up nor half in it. The copy is one file, without a log beside it.
    """
    try:
        target.touch(0o600)
        with closing(_open(source, "rw")) as here, closing(_open(target, "rw")) as there:
            here.backup(there)
            there.execute("PRAGMA journal_mode = DELETE").fetchone()
            found = there.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise DamagedError(
            f"{source} cannot be copied: {error}; is it a database of ours?"
        ) from None
    if found != ("ok",):
        raise DamagedError(f"{source} is damaged ({found[0]}); restore the newest good backup")
    with target.open("rb") as file:
        os.fsync(file.fileno())


def counts(path: Path) -> dict[str, int]:
    """Return the number of rows of every table; raises DamagedError."""
    try:
        with closing(_open(path, "ro")) as connection:
            listing = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
            names = [str(name) for (name,) in connection.execute(listing)]
            return {
                name: int(connection.execute(f"SELECT count(*) FROM {_quoted(name)}").fetchone()[0])  # noqa: S608 -- a name from the schema, quoted
                for name in names
                if not name.startswith("sqlite_")
            }
    except sqlite3.Error as error:
        raise DamagedError(f"{path} cannot be read: {error}") from None


def check(path: Path) -> None:
    """Check the integrity of a database; raises DamagedError."""
    try:
        with closing(_open(path, "ro")) as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        raise DamagedError(f"{path} cannot be read: {error}") from None
    if found != ("ok",):
        raise DamagedError(f"{path} is damaged: {found[0]}")


def store_samples(path: Path) -> list[dict[str, Any]]:
    """Return some values of an embedded store, spread over its series, oldest and newest."""
    found = []
    with closing(_open(path, "ro")) as connection:
        (top,) = connection.execute("SELECT coalesce(max(id), 0) FROM series").fetchone()
        for table, value in _TABLES.items():
            for step in range(SAMPLES):
                end = "max" if step % 2 else "min"
                statement = _SAMPLE_QUERY.format(table=table, value=value, end=end)
                row = connection.execute(statement, (top * step // SAMPLES,)).fetchone()
                if row is not None:
                    found.append({"table": table, "key": list(row[:5]), "value": row[5]})
    return found


def store_value(path: Path, sample: dict[str, Any]) -> float | None:
    """Return the value that an embedded store has for a sample, ``None`` for nothing."""
    statement = _VALUE_QUERY.format(table=sample["table"], value=_TABLES[sample["table"]])
    with closing(_open(path, "ro")) as connection:
        row = connection.execute(statement, tuple(sample["key"])).fetchone()
    return None if row is None else float(row[0])


def renew_epoch(journal: Path) -> None:
    """Give a copied journal an epoch of its own.

    Its consumers' positions are of the journal that it is a copy of. In one whose epoch they do not
    know they begin at the oldest entry, and what they do twice is harmless.
    """
    with closing(_open(journal, "rw")) as connection, connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (str(uuid.uuid4()),))


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", timeout=BUSY_SECONDS, uri=True)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
