"""The components of a backup, copied: the server's databases, InfluxDB, Grafana, configuration.

The order between them is the point (docs/adr/0011): the journal first, then the shipper's
state, which says what was taken out of it, then the store. Whatever an earlier copy counts as done
is in a later one.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hostpulse_backup import databases, files
from hostpulse_backup.errors import RefusedError, StoreError
from hostpulse_backup.manifest import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostpulse_backup.manifest import Manifest
    from hostpulse_backup.settings import Grafana, State

JOURNAL, SHIPPER_STATE, REGISTRY, STORE = "journal.db", "shipper.db", "state.db", "store.db"
DUMP = "state.dump"
GRAFANA = "grafana.db"
# Signs the links in messages: without it links already sent stop working.
LINK_KEY = "link.key"
# A rebuilt host makes a new one of its own; this host's settings for us are the role's.
EXCLUDED = ("agent.key", "backup.json")


def state_sources(state: State) -> Iterator[tuple[str, Path]]:
    """Yield the SQLite databases in the order of copying, those that exist."""
    sources = [(JOURNAL, state.data_dir / JOURNAL), (SHIPPER_STATE, state.data_dir / SHIPPER_STATE)]
    if state.url.startswith("sqlite:"):
        sources.append((REGISTRY, sqlite_path(state.url)))
    if state.store == "embedded":
        sources.append((STORE, state.data_dir / STORE))
    for name, path in sources:
        if path.is_file():
            yield name, path


def sqlite_path(url: str) -> Path:
    """Return the file that a state URL names."""
    return Path(urlsplit(url).path[1:])


def copy_state(state: State, folder: Path, made: Manifest, echo: Any) -> None:
    """Copy the server's databases; raises DamagedError and RefusedError."""
    refuse_other_databases(state)
    target = folder / "state"
    target.mkdir(mode=0o700)
    counts: dict[str, Any] = {}
    for name, source in state_sources(state):
        echo(f"state: {name}")
        databases.copy(source, target / name)
        counts[name] = databases.counts(target / name)
        _add(made, f"state/{name}", target / name)
    if state.url.startswith("postgresql"):
        echo("state: PostgreSQL")
        _dump(state, target / DUMP)
        _add(made, f"state/{DUMP}", target / DUMP)
    if (state.data_dir / LINK_KEY).is_file():
        files.copy(state.data_dir / LINK_KEY, target / LINK_KEY)
        _add(made, f"state/{LINK_KEY}", target / LINK_KEY)
    found = {"counts": counts}
    if STORE in counts:
        found["samples"] = databases.store_samples(target / STORE)  # type: ignore[assignment]
    made.kinds["state"] = found


def copy_grafana(grafana: Grafana, folder: Path, made: Manifest, echo: Any) -> None:
    """Copy Grafana's database: users, teams, what they made; raises DamagedError."""
    echo(f"grafana: {GRAFANA}")
    target = folder / "grafana"
    target.mkdir(mode=0o700)
    databases.copy(grafana.data_dir / GRAFANA, target / GRAFANA)
    _add(made, f"grafana/{GRAFANA}", target / GRAFANA)
    made.kinds["grafana"] = {"counts": {GRAFANA: databases.counts(target / GRAFANA)}}


def refuse_other_databases(state: State) -> None:
    """Return if the state database is of a kind that can be copied; raise RefusedError."""
    if not state.url or state.url.startswith("sqlite:"):
        return
    if not state.url.startswith("postgresql"):
        raise RefusedError(
            "state.url is neither SQLite nor PostgreSQL; back it up by its own means"
        )
    if not state.pg_dump:
        raise RefusedError(
            "the state database is PostgreSQL: set hostpulse_backup_pg_dump to the pg_dump of its "
            "version (/usr/bin/pg_dump), or back it up by its own means and set "
            "hostpulse_backup_state: false"
        )


def copy_configuration(source: Path, folder: Path, made: Manifest, echo: Any) -> None:
    """Copy keys, tokens and certificates, and what links lead to, for comparison."""
    echo(f"configuration: {source}")
    target = folder / "configuration"
    target.mkdir(mode=0o700)
    for path in sorted(source.rglob("*")):
        below = path.relative_to(source)
        if path.name in EXCLUDED or any(part.startswith(".before-restore") for part in below.parts):
            continue
        if path.is_dir() and not path.is_symlink():
            (target / below).mkdir(mode=0o700)
            made.folders[f"configuration/{below}"] = path.stat().st_mode & 0o7777
        elif path.is_file():
            copied = files.copy(path, target / below)
            made.files[f"configuration/{below}"] = Entry(
                *copied,
                mode=path.stat().st_mode & 0o7777,
                mtime_ns=path.stat().st_mtime_ns,
                link=str(path.readlink()) if path.is_symlink() else "",
            )
    made.kinds["configuration"] = {"counts": {"files": len(made.below("configuration"))}}


def copy_influxdb(
    stage: Path, folder: Path, made: Manifest, previous: tuple[Path, Manifest] | None
) -> None:
    """Copy the snapshot; a file that the previous backup has already becomes a link to it."""
    target = folder / "influxdb"
    for below in files.regular(stage):
        name = f"influxdb/{below}"
        source = stage / below
        (target / below).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = previous[1].files.get(name) if previous else None
        if previous and known and _unchanged(source, known, previous[0] / name):
            os.link(previous[0] / name, target / below)
            made.files[name] = known
        else:
            copied = files.copy(source, target / below)
            made.files[name] = Entry(*copied, mtime_ns=source.stat().st_mtime_ns)


def _unchanged(source: Path, known: Entry, old: Path) -> bool:
    """Return whether an immutable file is the one copied before, and still intact there."""
    now = source.stat()
    return (
        now.st_nlink > 1  # a link in the snapshot: immutable
        and (now.st_size, now.st_mtime_ns) == (known.bytes, known.mtime_ns)
        and old.is_file()
        and files.sha256(old) == known.sha256
    )


def _dump(state: State, target: Path) -> None:
    """Dump a PostgreSQL database; its password, if the URL has one, stays off the command line."""
    parsed = urlsplit(state.url)
    environment = dict(os.environ, PGHOST=parsed.hostname or "", PGPORT=str(parsed.port or 5432))
    environment.update(PGUSER=parsed.username or "", PGDATABASE=parsed.path.lstrip("/"))
    if parsed.password:
        environment["PGPASSWORD"] = parsed.password
    done = subprocess.run(
        [state.pg_dump, "--format=custom", "--no-password", f"--file={target}"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StoreError(f"pg_dump failed: {done.stdout.strip()[-500:]}")
    target.chmod(0o600)


def _add(made: Manifest, name: str, path: Path) -> None:
    made.files[name] = Entry(path.stat().st_size, files.sha256(path))
