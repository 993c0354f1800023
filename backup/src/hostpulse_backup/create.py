"""Making a backup."""

from __future__ import annotations

import shutil
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from hostpulse_backup import files, freeze, parts
from hostpulse_backup.archive import Archive
from hostpulse_backup.errors import BackupError
from hostpulse_backup.influxdb import Client
from hostpulse_backup.manifest import Manifest
from hostpulse_backup.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hostpulse_backup.services import Service
    from hostpulse_backup.settings import Influxdb, Settings

    Tell = Callable[[str], None]

# Points of this moment are still under way; what is counted and noted is older.
SETTLED = timedelta(seconds=30)
# A hidden copy in the state's folder and a little for folders, manifest and small files.
OVERHEAD = 16 * 2**20


class Creation:
    """One run: what it makes, for whom, and with whose hands it stops InfluxDB."""

    def __init__(self, settings: Settings, service: Service | None, tell: Tell) -> None:
        self.settings = settings
        self.archive = Archive(settings.directory)
        self.results = Results(settings.results)
        self._service = service
        self._tell = tell

    def estimate(self, kind: str, *, raw: bool) -> int:
        """Return about how many bytes a kind will take; raises like its copy."""
        here = self.settings
        if kind == "state" and here.state:
            parts.refuse_other_databases(here.state)
            return sum(_with_log(path) for _, path in parts.state_sources(here.state))
        if kind == "influxdb" and here.influxdb:
            without = self._without(here.influxdb, raw=raw)
            return sum(one.allocated for one in freeze.pieces(here.influxdb.data_dir, without))
        if kind == "grafana" and here.grafana:
            return _with_log(here.grafana.data_dir / parts.GRAFANA)
        return files.size(here.configuration)

    def refuse_lack_of_room(self, *, raw: bool) -> int:
        """Return about how many bytes are needed if there is room for them; raises RoomError."""
        wanted = OVERHEAD
        for kind in self.kinds():
            try:
                size = self.estimate(kind, raw=raw)
            except (
                BackupError
            ) as error:  # the part will fail by itself; the others get their chance
                self._tell(f"{kind}: {error}")
                continue
            wanted += size
            self._tell(f"{kind}: about {files.human(size)}")
        here = self.settings
        files.need_room(here.directory, wanted, here.min_free_bytes, "this backup")
        return wanted

    def run(self, *, raw: bool) -> Manifest:
        """Make a backup, prune, and return its manifest.

        A part that cannot be copied does not cost the others: it is named in ``failed``. Raises
        RoomError and BusyError before anything is begun, and BackupError when no part is left.
        """
        with self.archive.only_one():
            try:
                self.refuse_lack_of_room(raw=raw)
            except BackupError as error:
                for kind in self.kinds():
                    self.results.failed(kind, str(error))
                raise
            name, folder = self.archive.begin(_now_ms())
            try:
                made = self._fill(Manifest(name, self.settings.host, _now_ms(), raw=raw), folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            for gone in self.archive.prune(self.settings.keep):
                self._tell(f"removed {gone}: the policy keeps enough others")
        return made

    def _fill(self, made: Manifest, folder: Path) -> Manifest:
        made.versions = versions(self.settings.releases)
        for kind in self.kinds():
            self._try(kind, made, folder)
        if set(made.failed) == set(self.kinds()):
            for kind, why in made.failed.items():
                self.results.failed(kind, why)
            raise BackupError("; ".join(f"{kind}: {why}" for kind, why in made.failed.items()))
        made.finished_ms = _now_ms()
        self.archive.finish(folder, made)
        for kind in self.kinds():
            if kind in made.failed:
                self.results.failed(kind, made.failed[kind])
            else:
                size = sum(entry.bytes for entry in made.below(kind).values())
                self.results.succeeded(kind, made.finished_ms, size)
        return made

    def _try(self, kind: str, made: Manifest, folder: Path) -> None:
        try:
            self._copy(kind, made, folder)
        except (BackupError, OSError) as error:
            made.failed[kind] = str(error)
            self._tell(f"{kind}: FAILED: {error}")
            shutil.rmtree(folder / kind, ignore_errors=True)
            made.files = {n: e for n, e in made.files.items() if not n.startswith(f"{kind}/")}
            made.kinds.pop(kind, None)

    def _copy(self, kind: str, made: Manifest, folder: Path) -> None:
        if kind == "state" and self.settings.state:
            parts.copy_state(self.settings.state, folder, made, self._tell)
        elif kind == "influxdb" and self.settings.influxdb:
            self._copy_influxdb(self.settings.influxdb, made, folder)
        elif kind == "grafana" and self.settings.grafana:
            parts.copy_grafana(self.settings.grafana, folder, made, self._tell)
        else:
            parts.copy_configuration(self.settings.configuration, folder, made, self._tell)

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
        without = self._without(here, raw=made.raw)
        freeze.clear(here.data_dir)
        try:
            begin = time.monotonic()
            stage = self._held_still(here, without, client)
            stopped = time.monotonic() - begin
            self._tell(f"influxdb: stood still for {stopped:.1f} s; the journal held meanwhile")
            for name in names:  # late samples may have come in between: the copy has one or other
                found[name]["counts"].append(client.count(name, until))
            parts.copy_influxdb(stage, folder, made, self._before())
        finally:
            freeze.clear(here.data_dir)
        made.kinds["influxdb"] = {
            "until": until,
            "buckets": found,
            "stopped_ms": round(stopped * 1000),
        }

    def _held_still(self, here: Influxdb, without: set[str], client: Client) -> Path:
        if self._service is None:
            raise BackupError("there is no service to stop")
        try:
            self._service.stop()
            return freeze.put_aside(here.data_dir, without)
        finally:
            self._service.start()
            client.wait()

    def _without(self, here: Influxdb, *, raw: bool) -> set[str]:
        if raw:
            return set()
        client = Client.with_token_file(here.url, here.org, here.token_file, here.ca_file)
        return {client.bucket(here.bucket_raw).id}

    def _before(self) -> tuple[Path, Manifest] | None:
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
        return [kind for kind, part in given.items() if part]


def versions(releases: Path) -> dict[str, str]:
    """Return which releases of ours run on this host, by service."""
    found = {}
    for link in sorted(releases.glob("*/current")):
        if link.is_symlink():
            found[link.parent.name] = link.readlink().name
    return found


def _with_log(path: Path) -> int:
    log = path.with_name(path.name + "-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
