"""Creates a backup."""

from __future__ import annotations

import shutil
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from hostpulse_backup import components, files, snapshot
from hostpulse_backup.archive import Archive
from hostpulse_backup.errors import BackupError
from hostpulse_backup.influxdb import Client
from hostpulse_backup.manifest import Manifest
from hostpulse_backup.status_files import StatusFiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hostpulse_backup.services import Service
    from hostpulse_backup.settings import Influxdb, Settings

    Echo = Callable[[str], None]

# Recent points may still be in flight; what is counted and noted is older.
SETTLED = timedelta(seconds=30)
# A hidden copy in the state's folder and a little for folders, manifest and small files.
OVERHEAD = 16 * 2**20


class BackupRun:
    """One run that creates a backup; ``service`` is the InfluxDB that it stops and starts."""

    def __init__(self, settings: Settings, service: Service | None, echo: Echo) -> None:
        self.settings = settings
        self.archive = Archive(settings.directory)
        self.status_files = StatusFiles(settings.results)
        self._service = service
        self._echo = echo

    def estimate(self, kind: str, *, raw: bool) -> int:
        """Return about how many bytes a kind will take; raises like its copy."""
        here = self.settings
        if kind == "state" and here.state:
            components.refuse_other_databases(here.state)
            return sum(_size_with_wal(path) for _, path in components.state_sources(here.state))
        if kind == "influxdb" and here.influxdb:
            excluded_buckets = self._excluded_buckets(here.influxdb, raw=raw)
            return sum(
                one.allocated
                for one in snapshot.influxdb_files(here.influxdb.data_dir, excluded_buckets)
            )
        if kind == "grafana" and here.grafana:
            return _size_with_wal(here.grafana.data_dir / components.GRAFANA)
        return files.size(here.configuration)

    def require_space(self, *, raw: bool) -> int:
        """Return about how many bytes are needed if they fit; raises DiskSpaceError."""
        wanted = OVERHEAD
        for kind in self.kinds():
            try:
                size = self.estimate(kind, raw=raw)
            except BackupError as error:
                # this component will fail by itself; the others are still copied
                self._echo(f"{kind}: {error}")
                continue
            wanted += size
            self._echo(f"{kind}: about {files.human(size)}")
        here = self.settings
        files.require_space(here.directory, wanted, here.min_free_bytes, "this backup")
        return wanted

    def run(self, *, raw: bool) -> Manifest:
        """Make a backup, prune, and return its manifest.

        A component that cannot be copied does not cost the others: it is named in ``failed``.
        Raises DiskSpaceError and BusyError before anything is begun, and BackupError when no
        component is left.
        """
        with self.archive.lock():
            try:
                self.require_space(raw=raw)
            except BackupError as error:
                for kind in self.kinds():
                    self.status_files.record_failure(kind, str(error))
                raise
            name, folder = self.archive.begin(_now_ms())
            try:
                made = self._copy_all(
                    Manifest(name, self.settings.host, _now_ms(), raw=raw), folder
                )
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            for gone in self.archive.prune(self.settings.keep):
                self._echo(f"removed {gone}: the policy keeps enough others")
        return made

    def _copy_all(self, made: Manifest, folder: Path) -> Manifest:
        made.versions = versions(self.settings.releases)
        for kind in self.kinds():
            self._copy_or_record_failure(kind, made, folder)
        if set(made.failed) == set(self.kinds()):
            for kind, why in made.failed.items():
                self.status_files.record_failure(kind, why)
            raise BackupError("; ".join(f"{kind}: {why}" for kind, why in made.failed.items()))
        made.finished_ms = _now_ms()
        self.archive.finish(folder, made)
        for kind in self.kinds():
            if kind in made.failed:
                self.status_files.record_failure(kind, made.failed[kind])
            else:
                size = sum(entry.bytes for entry in made.below(kind).values())
                self.status_files.record_success(kind, made.finished_ms, size)
        return made

    def _copy_or_record_failure(self, kind: str, made: Manifest, folder: Path) -> None:
        try:
            self._copy(kind, made, folder)
        except (BackupError, OSError) as error:
            made.failed[kind] = str(error)
            self._echo(f"{kind}: FAILED: {error}")
            shutil.rmtree(folder / kind, ignore_errors=True)
            made.files = {n: e for n, e in made.files.items() if not n.startswith(f"{kind}/")}
            made.kinds.pop(kind, None)

    def _copy(self, kind: str, made: Manifest, folder: Path) -> None:
        if kind == "state" and self.settings.state:
            components.copy_state(self.settings.state, folder, made, self._echo)
        elif kind == "influxdb" and self.settings.influxdb:
            self._copy_influxdb(self.settings.influxdb, made, folder)
        elif kind == "grafana" and self.settings.grafana:
            components.copy_grafana(self.settings.grafana, folder, made, self._echo)
        else:
            components.copy_configuration(self.settings.configuration, folder, made, self._echo)

    def _copy_influxdb(self, here: Influxdb, made: Manifest, folder: Path) -> None:
        client = Client.with_token_file(here.url, here.org, here.token_file, here.ca_file)
        until = (datetime.now(timezone.utc) - SETTLED).strftime("%Y-%m-%dT%H:%M:%SZ")
        names = [here.bucket_rollup, *([here.bucket_raw] if made.raw else [])]
        found: dict[str, Any] = {
            name: {
                "counts": [client.count(name, until)],
                "samples": client.samples(name, until),
                "retention_seconds": client.bucket(name).retention_seconds,
            }
            for name in names
        }
        excluded_buckets = self._excluded_buckets(here, raw=made.raw)
        snapshot.clear(here.data_dir)
        try:
            begin = time.monotonic()
            stage = self._take_snapshot(here, excluded_buckets, client)
            stopped = time.monotonic() - begin
            self._echo(f"influxdb: stood still for {stopped:.1f} s; the journal held meanwhile")
            for name in names:  # late samples may have come in between: the copy has one or other
                found[name]["counts"].append(client.count(name, until))
            components.copy_influxdb(stage, folder, made, self._previous_backup())
        finally:
            snapshot.clear(here.data_dir)
        made.kinds["influxdb"] = {
            "until": until,
            "buckets": found,
            "stopped_ms": round(stopped * 1000),
        }

    def _take_snapshot(self, here: Influxdb, excluded_buckets: set[str], client: Client) -> Path:
        if self._service is None:
            raise BackupError("there is no service to stop")
        try:
            self._service.stop()
            return snapshot.take(here.data_dir, excluded_buckets)
        finally:
            self._service.start()
            client.wait()

    def _excluded_buckets(self, here: Influxdb, *, raw: bool) -> set[str]:
        if raw:
            return set()
        client = Client.with_token_file(here.url, here.org, here.token_file, here.ca_file)
        return {client.bucket(here.bucket_raw).id}

    def _previous_backup(self) -> tuple[Path, Manifest] | None:
        found = self.archive.newest_good()
        return (self.archive.directory / found.name, found) if found else None

    def kinds(self) -> list[str]:
        """Return this host's kinds in the order of copying."""
        here = self.settings
        given = {
            "state": here.state,
            "influxdb": here.influxdb,
            "grafana": here.grafana,
            "configuration": here.configuration,
        }
        return [kind for kind, component in given.items() if component]


def versions(releases: Path) -> dict[str, str]:
    """Return which hostpulse releases run on this host, by service."""
    found = {}
    for link in sorted(releases.glob("*/current")):
        if link.is_symlink():
            found[link.parent.name] = link.readlink().name
    return found


def _size_with_wal(path: Path) -> int:
    log = path.with_name(path.name + "-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
